// Package gomicro tests that go-micro and package event understand each other's
// events. It is a module of its own, so that go-micro is a requirement of nobody
// else.
package gomicro
