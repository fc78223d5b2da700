// Package cloudevents tests that the SDK of CloudEvents and package event
// understand each other. It is a module of its own, so that the SDK is a
// requirement of nobody else.
package cloudevents
