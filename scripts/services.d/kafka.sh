# shellcheck shell=bash disable=SC2154 # state and root are set by scripts/services
#
# kafka: Apache Kafka in KRaft mode, from its published jars. It needs Java 17 and
# Maven, which are installed when this runs as root. Ports 19092 (plain) and 19094
# (SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512), both with topics of one partition,
# and 19093 inside.

KAFKA_VERSION=4.3.1
KAFKA_SCALA=2.13
KAFKA_LOG4J=2.25.4
KAFKA_USER=tester
KAFKA_PASSWORD=tester-secret
MAVEN_DEPENDENCY=3.6.1

kafka_libs() {
	libs=$state/kafka/libs-$KAFKA_VERSION
	[[ ! -e $libs/.complete ]] || return 0
	packages java=openjdk-17-jre-headless mvn=maven || return 3
	rm -rf "$libs"
	mkdir -p "$libs"
	cat >"$state/kafka/pom.xml" <<-EOF
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
		  <dependencies>
		    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_$KAFKA_SCALA</artifactId><version>$KAFKA_VERSION</version></dependency>
		    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$KAFKA_LOG4J</version></dependency>
		  </dependencies>
		</project>
	EOF
	if ! mvn -q -B -f "$state/kafka/pom.xml" \
		"org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY:copy-dependencies" \
		-DoutputDirectory="$libs" -DincludeScope=runtime >&2; then
		say "kafka: Maven cannot fetch org.apache.kafka:kafka_$KAFKA_SCALA:$KAFKA_VERSION; the tests use kfake"
		return 3
	fi
	touch "$libs/.complete"
}

kafka_config() {
	cat >"$state/kafka/server.properties" <<-EOF
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:19093
		listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093,SASL_PLAINTEXT://127.0.0.1:19094
		advertised.listeners=PLAINTEXT://127.0.0.1:19092,SASL_PLAINTEXT://127.0.0.1:19094
		controller.listener.names=CONTROLLER
		listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
		inter.broker.listener.name=PLAINTEXT
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$KAFKA_USER="$KAFKA_PASSWORD";
		listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		log.dirs=$state/kafka/data
		auto.create.topics.enable=false
		num.partitions=1
		default.replication.factor=1
		offsets.topic.num.partitions=5
		offsets.topic.replication.factor=1
		transaction.state.log.num.partitions=2
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		share.coordinator.state.topic.num.partitions=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		broker.heartbeat.interval.ms=300
		broker.session.timeout.ms=1000
		group.initial.rebalance.delay.ms=0
		group.min.session.timeout.ms=500
	EOF
	cat >"$state/kafka/log4j2.properties" <<-EOF
		appender.out.type=Console
		appender.out.name=out
		appender.out.layout.type=PatternLayout
		appender.out.layout.pattern=%d %p %c{1}: %m%n
		rootLogger.level=warn
		rootLogger.appenderRef.out.ref=out
	EOF
}

kafka_java() {
	java -Xms256m -Xmx512m -cp "$libs/*" -Dlog4j2.configurationFile="$state/kafka/log4j2.properties" "$@"
}

kafka_format() {
	[[ ! -e $state/kafka/data/meta.properties ]] || return 0
	local id
	id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
	kafka_java kafka.tools.StorageTool format -t "$id" -c "$state/kafka/server.properties" \
		--add-scram "SCRAM-SHA-256=[name=$KAFKA_USER,password=$KAFKA_PASSWORD]" \
		--add-scram "SCRAM-SHA-512=[name=$KAFKA_USER,password=$KAFKA_PASSWORD]" >&2
}

kafka_up() {
	running kafka && listens 19092 && return 0
	mkdir -p "$state/kafka"
	kafka_libs || return
	kafka_config
	kafka_format || return
	# Its own session, so that the end of this shell does not end it.
	setsid java -Xms256m -Xmx512m -cp "$libs/*" -Dlog4j2.configurationFile="$state/kafka/log4j2.properties" \
		kafka.Kafka "$state/kafka/server.properties" </dev/null >>"$state/kafka/log" 2>&1 &
	echo $! >"$state/kafka/pid"
	if ! await 60 listens 19092 || ! await 60 listens 19094; then
		say "kafka: does not listen; the end of $state/kafka/log:"
		tail -n 20 "$state/kafka/log" >&2
		return 1
	fi
}

kafka_env() {
	echo "export MICRO_EVENT_KAFKA=kafka://127.0.0.1:19092"
	echo "export MICRO_EVENT_KAFKA_SASL=kafka://$KAFKA_USER:$KAFKA_PASSWORD@127.0.0.1:19094"
	echo "export MICRO_EVENT_KAFKA_RESTART='$root/scripts/services restart kafka'"
}
