package event

// IsAtLeastVersion0_1_0 is referred to by generated code, so that code of a
// newer plugin does not compile against an older runtime. Each version of the
// plugin that needs something new of this package adds a constant.
const IsAtLeastVersion0_1_0 = true
