# shellcheck shell=bash disable=SC2154 # state and root are set by scripts/services
#
# nats: the nats-server of the version that runtime/broker/nats is tested with, built
# from source, with JetStream. Port 14222.

nats_up() {
	running nats && listens 14222 && return 0
	mkdir -p "$state/nats"
	if ! (cd "$root/runtime/broker/nats" && go build -o "$state/nats/nats-server" github.com/nats-io/nats-server/v2) >&2; then
		say "nats: cannot be built"
		return 3
	fi
	# Its own session, so that the end of this shell does not end it.
	setsid "$state/nats/nats-server" --addr 127.0.0.1 --port 14222 --jetstream --store_dir "$state/nats/data" \
		</dev/null >>"$state/nats/log" 2>&1 &
	echo $! >"$state/nats/pid"
	if ! await 30 listens 14222; then
		say "nats: does not listen; the end of $state/nats/log:"
		tail -n 20 "$state/nats/log" >&2
		return 1
	fi
}

nats_env() {
	echo "export MICRO_EVENT_NATS=nats://127.0.0.1:14222"
	echo "export MICRO_EVENT_NATS_RESTART='$root/scripts/services restart nats'"
}
