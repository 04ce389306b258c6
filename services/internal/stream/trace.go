package stream

import (
	"context"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Span names and attributes follow the OpenTelemetry conventions for Kafka:
// create (one for each record sent), send, poll, process. A record's process
// span has the creation as its parent and a link to the poll; the link to the
// creation that the convention asks for besides would be a second edge to the
// same span, which Jaeger shows as the only one.

// Inject writes the span of ctx into headers, replacing what was there.
func Inject(ctx context.Context, headers []Header) []Header {
	carrier := &headerCarrier{headers}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.headers
}

// Extract returns ctx with the span that the headers name as its remote parent.
func Extract(ctx context.Context, headers []Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, &headerCarrier{headers})
}

type headerCarrier struct{ headers []Header }

func (c *headerCarrier) Get(key string) string {
	return (&Record{Headers: c.headers}).Header(key)
}

func (c *headerCarrier) Set(key, value string) {
	c.headers = slices.DeleteFunc(slices.Clone(c.headers), func(h Header) bool { return h.Key == key })
	c.headers = append(c.headers, Header{Key: key, Value: value})
}

func (c *headerCarrier) Keys() []string {
	keys := make([]string, 0, len(c.headers))
	for _, h := range c.headers {
		keys = append(keys, h.Key)
	}
	return keys
}

// startSend returns the headers as they go out. Each record that belongs to a
// trace gets a create span of its own, and the send span links to them all.
func (c *Client) startSend(ctx context.Context, to TopicPartition, records []*Record) (context.Context, trace.Span, [][]Header) {
	headers := make([][]Header, len(records))
	var links []trace.Link
	for i, r := range records {
		headers[i] = r.Headers
		created := Extract(ctx, r.Headers)
		if trace.SpanContextFromContext(created).IsSampled() {
			var span trace.Span
			created, span = c.tracer.Start(created, "create "+to.Topic, trace.WithSpanKind(trace.SpanKindProducer),
				trace.WithAttributes(append(attributes(to, "create", "create"), attribute.String("messaging.kafka.message.key", r.Key))...))
			span.End()
			links = append(links, trace.Link{SpanContext: span.SpanContext()})
		}
		if trace.SpanContextFromContext(created).IsValid() {
			headers[i] = Inject(created, r.Headers)
		}
	}
	if len(links) == 0 {
		return ctx, trace.SpanFromContext(context.Background()), headers
	}
	ctx, span := c.tracer.Start(ctx, "send "+to.Topic, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(append(attributes(to, "send", "send"), attribute.Int("messaging.batch.message_count", len(records)))...))
	return ctx, span, headers
}

func attributes(p TopicPartition, kind, name string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.destination.name", p.Topic),
		attribute.String("messaging.destination.partition.id", strconv.Itoa(p.Partition)),
		attribute.String("messaging.operation.type", kind),
		attribute.String("messaging.operation.name", name),
	}
}

// polled records that a batch was fetched, if any of its records is traced.
func (c *Consumer) polled(ctx context.Context, b *Batch, start time.Time) {
	var links []trace.Link
	for i := range b.Records {
		if created := trace.SpanContextFromContext(Extract(context.Background(), b.Records[i].Headers)); created.IsSampled() {
			links = append(links, trace.Link{SpanContext: created})
		}
	}
	if len(links) == 0 {
		return
	}
	p := TopicPartition{b.Topic, b.Partition}
	_, span := c.client.tracer.Start(ctx, "poll "+b.Topic, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(start), trace.WithLinks(links...),
		trace.WithAttributes(append(attributes(p, "receive", "poll"), attribute.String("messaging.consumer.group.name", c.cfg.Group),
			attribute.Int("messaging.batch.message_count", len(b.Records)))...))
	span.End()
	b.poll = span.SpanContext()
}

// Process starts the span under which one record of the batch is handled. It
// belongs to the trace of the record's creation. The caller ends it.
func (b *Batch) Process(ctx context.Context, r *Record) (context.Context, trace.Span) {
	ctx = Extract(ctx, r.Headers)
	if b.tracer == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, trace.SpanFromContext(context.Background())
	}
	p := TopicPartition{b.Topic, b.Partition}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(append(attributes(p, "process", "process"), attribute.String("messaging.consumer.group.name", b.group),
			attribute.Int64("messaging.kafka.offset", r.Offset), attribute.String("messaging.kafka.message.key", r.Key))...)}
	if b.poll.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: b.poll}))
	}
	return b.tracer.Start(ctx, "process "+b.Topic, options...)
}
