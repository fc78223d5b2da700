package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Connect implements [Broker].
func (e *Engine) Connect(ctx context.Context) error {
	if err := e.lock(ctx); err != nil {
		return fmt.Errorf("broker: connect %s: %w", e, err)
	}
	defer e.unlock()
	if e.Connected() {
		return nil
	}
	if e.configErr != nil {
		return e.configErr
	}
	if err := e.driver.Connect(ctx); err != nil {
		return fmt.Errorf("broker: connect %s: %w", e, err)
	}
	settings, err := e.newSettings()
	if err != nil {
		return errors.Join(err, e.driver.Close(ctx))
	}
	e.settings.Store(settings)
	e.mu.Lock()
	e.state, e.linkErr = stateConnected, nil
	e.mu.Unlock()
	e.calls.open()
	settings.hooks.Connected(settings.info.Address, false)
	return nil
}

func (e *Engine) newSettings() (*settings, error) {
	info, options := e.driver.Info(), e.Options()
	maxBytes := options.MaxMessageBytes
	switch {
	case maxBytes == 0 && info.MaxMessageBytes > 0:
		maxBytes = info.MaxMessageBytes
	case maxBytes == 0:
		maxBytes = DefaultMaxMessageBytes
	case info.MaxMessageBytes > 0 && maxBytes > info.MaxMessageBytes:
		return nil, fmt.Errorf("broker: connect %s: MaxMessageBytes %d: %w: the transport takes at most %d",
			e, maxBytes, ErrUnsupported, info.MaxMessageBytes)
	}
	return &settings{maxBytes, options.Hooks, options.Logger, info}, nil
}

// Disconnect implements [Broker]. Called from a handler of this broker it does
// nothing and returns [ErrInHandler].
func (e *Engine) Disconnect(ctx context.Context) error {
	if handledBy(ctx, e) != nil {
		return fmt.Errorf("broker: disconnect %s: %w", e, ErrInHandler)
	}
	if err := e.lock(ctx); err != nil {
		return fmt.Errorf("broker: disconnect %s: %w", e, err)
	}
	defer e.unlock()
	subs := e.startDraining()
	if subs == nil {
		return nil
	}
	errs := unsubscribeAll(ctx, subs)
	if err := e.calls.shut(ctx); err != nil {
		errs = append(errs, fmt.Errorf("flush of publishes was cut short: %w", err))
	}
	if err := e.driver.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("close: %w", err))
	}
	e.setState(stateClosed)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("broker: disconnect %s: %w", e, err)
	}
	return nil
}

// lock waits for a Connect or Disconnect that is under way, unless ctx ends
// first. A lock that is free is taken even then.
func (e *Engine) lock(ctx context.Context) error {
	select {
	case e.lifecycle <- struct{}{}:
		return nil
	default:
	}
	select {
	case e.lifecycle <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Engine) unlock() { <-e.lifecycle }

// startDraining refuses new subscriptions and returns those there are, or nil
// when the broker is not connected.
func (e *Engine) startDraining() []*subscription {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != stateConnected {
		return nil
	}
	e.state = stateDraining
	subs := make([]*subscription, 0, len(e.subscribers))
	for s := range e.subscribers {
		subs = append(subs, s)
	}
	return subs
}

// unsubscribeAll drains in three quarters of the time that ctx leaves, so that
// publishes can still be flushed.
func unsubscribeAll(ctx context.Context, subs []*subscription) []error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*3/4)
		defer cancel()
	}
	errs := make([]error, len(subs))
	var wg sync.WaitGroup
	for i, s := range subs {
		wg.Go(func() { errs[i] = s.Unsubscribe(ctx) })
	}
	wg.Wait()
	return errs
}

func (e *Engine) setState(s state) {
	e.mu.Lock()
	e.state = s
	e.mu.Unlock()
}
