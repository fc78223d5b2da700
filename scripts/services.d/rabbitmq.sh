# shellcheck shell=bash disable=SC2154 # state and root are set by scripts/services
#
# rabbitmq: Debian's rabbitmq-server as a node of its own, for the guest of this
# machine. Port 15673.

rabbitmq_up() {
	running rabbitmq && listens 15673 && return 0
	packages /usr/lib/rabbitmq/bin/rabbitmq-server=rabbitmq-server || return 3
	mkdir -p "$state/rabbitmq"
	cat >"$state/rabbitmq/rabbitmq.conf" <<-EOF
		listeners.tcp.1 = 127.0.0.1:15673
	EOF
	: >"$state/rabbitmq/plugins"
	rm -f "$state/rabbitmq/server.pid"
	# Its own session, so that the end of this shell does not end it. The server is a
	# child of the script.
	HOME=$state/rabbitmq ERL_CRASH_DUMP=$state/rabbitmq/erl_crash.dump RABBITMQ_NODENAME=micro-event@localhost RABBITMQ_DIST_PORT=15674 \
		RABBITMQ_MNESIA_BASE=$state/rabbitmq/data RABBITMQ_LOG_BASE=$state/rabbitmq/logs \
		RABBITMQ_CONFIG_FILE=$state/rabbitmq/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$state/rabbitmq/plugins \
		RABBITMQ_PID_FILE=$state/rabbitmq/server.pid RABBITMQ_USE_LONGNAME=false ERL_EPMD_ADDRESS=127.0.0.1 \
		setsid /usr/lib/rabbitmq/bin/rabbitmq-server </dev/null >>"$state/rabbitmq/log" 2>&1 &
	if ! await 60 listens 15673 || ! await 20 test -s "$state/rabbitmq/server.pid" ||
		! cp "$state/rabbitmq/server.pid" "$state/rabbitmq/pid"; then
		say "rabbitmq: does not listen; the end of $state/rabbitmq/log:"
		tail -n 20 "$state/rabbitmq/log" >&2
		return 1
	fi
}

rabbitmq_env() {
	echo "export MICRO_EVENT_RABBITMQ=amqp://guest:guest@127.0.0.1:15673/"
	echo "export MICRO_EVENT_RABBITMQ_RESTART='$root/scripts/services restart rabbitmq'"
	echo "export MICRO_EVENT_RABBITMQ_SETTLE='$root/scripts/services down rabbitmq && $root/scripts/services up rabbitmq'"
}
