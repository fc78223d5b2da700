// Package gentest holds schemas whose generated code is committed, so that tests
// of the generator compile and execute it: one Go package for each level of the
// Go API of protobuf, and one with package_suffix.
package gentest
