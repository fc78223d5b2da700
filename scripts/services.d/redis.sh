# shellcheck shell=bash disable=SC2154 # state and root are set by scripts/services
#
# redis: Debian's redis-server, which stores each command before it answers. Port
# 16379, with a user and a password. The default user stays on: without it Redis 7.0
# replays no transaction of its append-only file, and so forgets what groups have read.

REDIS_USER=tester
REDIS_PASSWORD=tester-secret

redis_up() {
	running redis && listens 16379 && return 0
	packages redis-server=redis-server || return 3
	mkdir -p "$state/redis"
	cat >"$state/redis/redis.conf" <<-EOF
		bind 127.0.0.1
		port 16379
		dir $state/redis
		save ""
		appendonly yes
		appendfsync always
		user default on >$REDIS_PASSWORD ~* &* +@all
		user $REDIS_USER on >$REDIS_PASSWORD ~* &* +@all
	EOF
	# Its own session, so that the end of this shell does not end it.
	setsid redis-server "$state/redis/redis.conf" </dev/null >>"$state/redis/log" 2>&1 &
	echo $! >"$state/redis/pid"
	if ! await 30 listens 16379; then
		say "redis: does not listen; the end of $state/redis/log:"
		tail -n 20 "$state/redis/log" >&2
		return 1
	fi
}

redis_env() {
	echo "export MICRO_EVENT_REDIS=redis://$REDIS_USER:$REDIS_PASSWORD@127.0.0.1:16379/0"
	echo "export MICRO_EVENT_REDIS_RESTART='$root/scripts/services restart redis'"
}
