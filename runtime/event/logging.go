package event

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"
)

// LogPublish logs each publish to l: "event published" at level Info with type,
// topic and duration, "event not published" at level Error with the error too.
func LogPublish(l *slog.Logger) PublishInterceptor {
	return func(next PublishFunc) PublishFunc {
		return func(ctx context.Context, s *Spec, m proto.Message) error {
			began := time.Now()
			err := next(ctx, s, m)
			level := levelOf(err, slog.LevelError)
			if l.Enabled(ctx, level) {
				logPublished(ctx, l, level, s, time.Since(began), err)
			}
			return err
		}
	}
}

func logPublished(ctx context.Context, l *slog.Logger, level slog.Level, s *Spec, took time.Duration, err error) {
	attrs := [...]slog.Attr{
		slog.String("type", s.Type), slog.String("topic", s.Topic),
		slog.Duration("duration", took), slog.Any("error", err),
	}
	if err != nil {
		l.LogAttrs(ctx, level, "event not published", attrs[:]...)
	} else {
		l.LogAttrs(ctx, level, "event published", attrs[:3]...)
	}
}

// levelOf returns Info, or failed when err is not nil.
func levelOf(err error, failed slog.Level) slog.Level {
	if err != nil {
		return failed
	}
	return slog.LevelInfo
}

// LogHandle logs each attempt to handle an event to l: "event handled" at level
// Info, "event not handled" at level Warn with the error. Both have type, id,
// source, topic, key, attempt and duration. That an event is retried, or given
// up, is logged by the broker, see broker.Hooks.
func LogHandle(l *slog.Logger) HandleInterceptor {
	return func(next HandleFunc) HandleFunc {
		return func(ctx context.Context, m proto.Message) error {
			began := time.Now()
			err := next(ctx, m)
			level := levelOf(err, slog.LevelWarn)
			if l.Enabled(ctx, level) {
				logHandled(ctx, l, level, time.Since(began), err)
			}
			return err
		}
	}
}

func logHandled(ctx context.Context, l *slog.Logger, level slog.Level, took time.Duration, err error) {
	e := FromContext(ctx)
	attrs := [...]slog.Attr{
		slog.String("type", e.Type()), slog.String("id", e.ID()), slog.String("source", e.Source()),
		slog.String("topic", e.Topic()), slog.String("key", e.Key()), slog.Int("attempt", e.Attempt()),
		slog.Duration("duration", took), slog.Any("error", err),
	}
	if err != nil {
		l.LogAttrs(ctx, level, "event not handled", attrs[:]...)
	} else {
		l.LogAttrs(ctx, level, "event handled", attrs[:7]...)
	}
}
