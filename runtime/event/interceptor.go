package event

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"
)

// PublishFunc publishes m as s says. In a [PublishInterceptor] the topic of s is
// the one that the broker will see.
type PublishFunc func(ctx context.Context, s *Spec, m proto.Message) error

// HandleFunc handles one event, which was decoded. [FromContext] has the rest of
// what is known of it.
type HandleFunc func(ctx context.Context, m proto.Message) error

// PublishInterceptor puts code around publishing. It is called once for each
// client, when that is made; what it returns is called for every event, concurrently, and
// must neither change s nor change or keep m. To add headers it calls next with
// a context from [WithHeader].
//
// An interceptor that fails an event itself says what became of it by wrapping
// broker.ErrRejected or broker.ErrNotDelivered; any other error counts as
// broker.ErrUncertain.
type PublishInterceptor func(next PublishFunc) PublishFunc

// HandleInterceptor puts code around handlers. It is called once for each
// handler, when that is subscribed; what it returns is called for every attempt,
// concurrently. What cannot be decoded does not get here: it is poison, and
// broker.Hooks tell of it.
type HandleInterceptor func(next HandleFunc) HandleFunc

// WrapPublish puts interceptors around publishing. The first one is outermost.
// Given several times, the later ones are inside. Default: none.
func WrapPublish(interceptors ...PublishInterceptor) ClientOption {
	return clientOption(func(o *clientOptions) { o.wrap = append(o.wrap, interceptors...) })
}

// HandlerOption is an option of a server, for all its handlers, or of one
// subscription.
type HandlerOption interface {
	ServerOption
	SubscribeOption
}

// WrapHandle puts interceptors around all handlers of a server, or around that
// of one subscription. The first one is outermost, and the server's are outside
// of the subscription's. Given several times, the later ones are inside.
// Default: none.
func WrapHandle(interceptors ...HandleInterceptor) HandlerOption {
	return wrapHandle(interceptors)
}

type wrapHandle []HandleInterceptor

func (w wrapHandle) applyServer(o *serverOptions)       { o.wrap = append(o.wrap, w...) }
func (w wrapHandle) applySubscribe(o *subscribeOptions) { o.wrap = append(o.wrap, w...) }

// chain returns f inside of all interceptors.
func chain[F any, I ~func(F) F](f F, interceptors []I) F {
	for _, i := range slices.Backward(interceptors) {
		f = i(f)
	}
	return f
}

// checkInterceptors reports one that is nil.
func checkInterceptors[F any, I ~func(F) F](interceptors []I) error {
	for _, i := range interceptors {
		if i == nil {
			return errors.New("interceptor is nil")
		}
	}
	return nil
}
