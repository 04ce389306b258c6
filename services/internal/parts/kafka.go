package parts

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// kafkaVersion is the newest that resolves whole from Maven Central.
const kafkaVersion = "4.3.1"

// brokers is how many run: topics have three replicas, two must be in sync.
const brokers = 3

// Kafka is a cluster of three, each broker and controller at once.
type Kafka struct {
	// Brokers are the clients' addresses, of broker 1, 2, 3.
	Brokers []string
	// Mutual and Ended are others of secured brokers: one knows clients by their
	// certificate, the other shows one that is no longer valid.
	Mutual, Ended []string

	secured         *Secure
	dir, java, jars string
	procs           [brokers]*process
}

// kafkaPrograms finds Java and a broker's libraries.
func kafkaPrograms(ctx context.Context, cfg Config) (java, jars string, err error) {
	if java, err = program(ctx, cfg, "Apache Kafka", "default-jre-headless", "java"); err != nil {
		return "", "", err
	}
	jars, err = cached(ctx, cfg, "kafka-"+kafkaVersion, func(ctx context.Context, dir string) error { return fetchKafka(ctx, cfg, dir) })
	return java, jars, err
}

func startKafka(ctx context.Context, cfg Config) (*Kafka, error) {
	java, jars, err := kafkaPrograms(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p, err := Ports(ctx, cfg.Dir, "kafka", 5*brokers)
	if err != nil {
		return nil, err
	}
	k := &Kafka{secured: cfg.Secure, dir: cfg.Dir, java: java, jars: jars}
	for n := range brokers {
		k.Brokers = append(k.Brokers, at(p[n]))
		k.Mutual, k.Ended = append(k.Mutual, at(p[3*brokers+n])), append(k.Ended, at(p[4*brokers+n]))
	}
	if err := k.lay(ctx, p); err != nil {
		return nil, err
	}
	var errs [brokers]error
	var starting sync.WaitGroup
	for n := 1; n <= brokers; n++ {
		if errs[n-1] = k.launch(n); errs[n-1] == nil {
			starting.Go(func() { errs[n-1] = k.await(ctx, n) })
		}
	}
	starting.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, k.Stop())
	}
	return k, nil
}

// fetchKafka collects a broker's libraries by name.
func fetchKafka(ctx context.Context, cfg Config, dir string) error {
	mvn, err := program(ctx, cfg, "Apache Kafka", "maven", "mvn")
	if err != nil {
		return err
	}
	cfg.say("fetching Apache Kafka %s (43 MiB, once)", kafkaVersion)
	work, err := os.MkdirTemp(cfg.Cache, "kafka-fetch-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	pom := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(pom, fmt.Appendf(nil, kafkaPOM, kafkaVersion), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mvn, "-B", "-q", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+dir, "-DincludeScope=runtime")
	if out, err := cmd.CombinedOutput(); err != nil {
		return &AbsentError{"Apache Kafka", fmt.Sprintf("mvn: %v: %s", err, last(out)), "look whether Maven reaches its repository"}
	}
	return nil
}

const kafkaPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.tieout</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>%s</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

// lay writes each broker's settings, and formats their folders once.
func (k *Kafka) lay(ctx context.Context, p []int) error {
	var voters []string
	for n := 1; n <= brokers; n++ {
		voters = append(voters, fmt.Sprintf("%d@%s", n, at(p[2*brokers+n-1])))
	}
	for n := 1; n <= brokers; n++ {
		client, internal, controller := at(p[n-1]), at(p[brokers+n-1]), at(p[2*brokers+n-1])
		text := fmt.Sprintf(kafkaSettings, n, strings.Join(voters, ","), client, internal, controller, client, internal, k.data(n))
		if err := os.WriteFile(k.settings(n), []byte(k.secure(text, n)), 0o600); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(k.data(brokers), "meta.properties")); err == nil {
		return nil
	}
	return k.format(ctx)
}

func (k *Kafka) data(n int) string     { return filepath.Join(k.dir, fmt.Sprintf("kafka-%d", n)) }
func (k *Kafka) settings(n int) string { return k.data(n) + ".properties" }

// kafkaSettings: clients have a listener of their own, so that a fault between
// them and a broker touches nothing else; failover is quick.
const kafkaSettings = `process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=CLIENT://%s,INTERNAL://%s,CONTROLLER://%s
advertised.listeners=CLIENT://%s,INTERNAL://%s
listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
log.dirs=%s
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.fetch.timeout.ms=1500
controller.quorum.election.timeout.ms=1000
controller.quorum.election.backoff.max.ms=500
replica.lag.time.max.ms=5000
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.io.buffer.size=262144
log.index.size.max.bytes=1048576
log.segment.bytes=67108864
`

// format formats one folder; the others differ in two lines.
func (k *Kafka) format(ctx context.Context) error {
	for n := 1; n <= brokers; n++ { // what a start that failed half-way left
		if err := os.RemoveAll(k.data(n)); err != nil {
			return err
		}
	}
	cluster, err := kafkaID()
	if err != nil {
		return err
	}
	args := append([]string{"-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(k.jars, "*"),
		"kafka.tools.StorageTool", "format", "-t", cluster, "-c", k.settings(1)}, k.scram()...)
	cmd := exec.CommandContext(ctx, k.java, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format a broker's folder: %w: %s", err, last(out))
	}
	for n := 2; n <= brokers; n++ {
		if err := k.formatLike(n); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kafka) formatLike(n int) error {
	if err := os.CopyFS(k.data(n), os.DirFS(k.data(1))); err != nil {
		return err
	}
	meta := filepath.Join(k.data(n), "meta.properties")
	b, err := os.ReadFile(meta)
	if err != nil {
		return err
	}
	id, err := kafkaID()
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "node.id=") {
			lines[i] = fmt.Sprintf("node.id=%d", n)
		}
		if strings.HasPrefix(l, "directory.id=") {
			lines[i] = "directory.id=" + id
		}
	}
	return os.WriteFile(meta, []byte(strings.Join(lines, "\n")), 0o644)
}

// kafkaID is 16 random bytes as Kafka writes them; it takes none with a leading dash.
func kafkaID() (string, error) {
	b := make([]byte, 16)
	for {
		if _, err := rand.Read(b); err != nil {
			return "", err
		}
		if id := base64.RawURLEncoding.EncodeToString(b); !strings.HasPrefix(id, "-") {
			return id, nil
		}
	}
}

func (k *Kafka) launch(n int) (err error) {
	k.procs[n-1], err = launch(k.dir, fmt.Sprintf("kafka-%d", n), nil, k.java, "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
		"-cp", filepath.Join(k.jars, "*"), "kafka.Kafka", k.settings(n))
	return err
}

// await waits for the line that a broker logs once it takes requests.
func (k *Kafka) await(ctx context.Context, n int) error {
	p := k.procs[n-1]
	return p.await(ctx, func(context.Context) bool {
		b, err := os.ReadFile(p.log)
		return err == nil && strings.Contains(string(b), "Kafka Server started")
	})
}

// Kill ends broker n (1 to 3) at once.
func (k *Kafka) Kill(n int) error { return k.procs[n-1].kill() }

// StopBroker ends broker n in good order: its partitions are led by others first.
func (k *Kafka) StopBroker(n int) error { return k.procs[n-1].stop(20 * time.Second) }

// StartBroker starts broker n again and waits until it takes requests.
func (k *Kafka) StartBroker(ctx context.Context, n int) error {
	if err := k.launch(n); err != nil {
		return err
	}
	return k.await(ctx, n)
}

// Freeze stops broker n where it stands; Thaw lets it go on.
func (k *Kafka) Freeze(n int) error { return k.procs[n-1].signal(syscall.SIGSTOP) }

// Thaw lets a frozen broker go on.
func (k *Kafka) Thaw(n int) error { return k.procs[n-1].signal(syscall.SIGCONT) }

// Stop ends all brokers. The last ones have no quorum left to say goodbye to:
// they are killed after a while, which Kafka recovers from.
func (k *Kafka) Stop() error {
	var stopping sync.WaitGroup
	var errs [brokers]error
	for n, p := range k.procs {
		if p != nil {
			stopping.Go(func() { errs[n] = p.stop(5 * time.Second) })
		}
	}
	stopping.Wait()
	return errors.Join(errs[:]...)
}
