// Command empty is a plugin that lets protogen read its request, and does nothing: what
// every plugin that is written with protogen costs.
package main

import "google.golang.org/protobuf/compiler/protogen"

func main() {
	protogen.Options{}.Run(func(*protogen.Plugin) error { return nil })
}
