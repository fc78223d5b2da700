package httpbroker

import "github.com/micro-event/micro-event/runtime/broker"

// LookEachTime lets the files of [TLSFiles], which must come before it, be looked at
// for each connection and request, so that tests need not wait.
func LookEachTime() broker.Option {
	return newOption(func(o *options) error {
		o.transport.(*certificateFiles).age = 0 //nolint:forcetypeassert // as said
		return nil
	})
}
