# shellcheck shell=bash disable=SC2154 # state and root are set by scripts/services
#
# mosquitto: Debian's mosquitto, without its bounds on what it keeps for a session and
# without its delay of small packets, with a user and a password. Port 11883. It writes
# its store when it ends and now and then, so what the tests restart ends in good order:
# a crash would lose what it had acknowledged.

MQTT_USER=tester
MQTT_PASSWORD=tester-secret

mosquitto_up() {
	running mosquitto && listens 11883 && return 0
	packages /usr/sbin/mosquitto=mosquitto || return 3
	mkdir -p "$state/mosquitto/data"
	(umask 077 && : >"$state/mosquitto/passwords")
	mosquitto_passwd -b "$state/mosquitto/passwords" "$MQTT_USER" "$MQTT_PASSWORD"
	cat >"$state/mosquitto/mosquitto.conf" <<-EOF
		listener 11883 127.0.0.1
		password_file $state/mosquitto/passwords
		persistence true
		persistence_location $state/mosquitto/data/
		max_inflight_messages 0
		max_queued_messages 0
		set_tcp_nodelay true
	EOF
	if ((EUID == 0)); then
		echo "user root" >>"$state/mosquitto/mosquitto.conf"
	fi
	# Its own session, so that the end of this shell does not end it.
	setsid /usr/sbin/mosquitto -c "$state/mosquitto/mosquitto.conf" </dev/null >>"$state/mosquitto/log" 2>&1 &
	echo $! >"$state/mosquitto/pid"
	if ! await 30 listens 11883; then
		say "mosquitto: does not listen; the end of $state/mosquitto/log:"
		tail -n 20 "$state/mosquitto/log" >&2
		return 1
	fi
}

mosquitto_env() {
	echo "export MICRO_EVENT_MQTT=mqtt://$MQTT_USER:$MQTT_PASSWORD@127.0.0.1:11883"
	echo "export MICRO_EVENT_MQTT_RESTART='$root/scripts/services down mosquitto && $root/scripts/services up mosquitto'"
}
