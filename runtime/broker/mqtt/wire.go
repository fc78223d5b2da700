package mqttbroker

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Names in messages and their properties.
const (
	contentType      = "content-type"
	attributePrefix  = "ce-"
	specVersion      = "specversion"
	specVersionValue = "1.0"
	keyProperty      = "partitionkey"
	plainProperty    = "micro-plain"  // names of properties that are no attributes
	packedProperty   = "micro-packed" // bytes of headers before the body
)

// maxProperties is how many user properties are read.
const maxProperties = 1000

// topicOf returns the MQTT topic of a topic. Neither the separators of the one nor
// those of the other occur in segments.
func topicOf(topic string) string { return strings.ReplaceAll(topic, ".", "/") }

// filterOf returns what a member of a queue subscribes to, or with no queue everybody.
func filterOf(topic, queue string) string {
	if queue == "" {
		return topicOf(topic)
	}
	return "$share/" + queue + "/" + topicOf(topic)
}

// newPublish returns the packet of a message. It refers to the body of r.
func newPublish(topic string, r *broker.Record) *packets.Publish {
	properties := &packets.Properties{User: make([]packets.User, 0, len(r.Header)+3)}
	p := &packets.Publish{Topic: topicOf(topic), QoS: 1, Payload: r.Body, Properties: properties}
	set := func(name, value string) {
		properties.User = append(properties.User, packets.User{Key: name, Value: value})
	}
	event := isEvent(r)
	if !fits(r, event) {
		all := broker.Record{Header: r.Header, Body: r.Body}
		if !isText(r.Key) {
			all.Header = slices.Concat(r.Header, []broker.Field{{Value: r.Key}}) // no header has no name
		}
		var size string
		p.Payload, size = broker.PackHeader(&all)
		set(packedProperty, size)
	} else {
		setHeader(properties, r, event, set)
	}
	if r.Key != "" && isText(r.Key) {
		set(keyProperty, r.Key)
	}
	return p
}

// setHeader translates headers that fit.
func setHeader(properties *packets.Properties, r *broker.Record, event bool, set func(name, value string)) {
	var plain []byte
	for i := range r.Header {
		f := &r.Header[i]
		attribute, found := strings.CutPrefix(f.Name, attributePrefix)
		switch {
		case f.Name == contentType:
			properties.ContentType = f.Value
		case event && found && isAttribute(attribute):
			set(attribute, f.Value)
		case event && isAttribute(f.Name):
			plain = append(append(plain, f.Name...), ' ')
			set(f.Name, f.Value)
		default:
			set(f.Name, f.Value)
		}
	}
	if event {
		set(specVersion, specVersionValue)
	}
	if len(plain) > 0 {
		set(plainProperty, string(plain[:len(plain)-1]))
	}
}

// isEvent reports whether a message has what makes it a CloudEvent.
func isEvent(r *broker.Record) bool {
	found := 0
	for i := range r.Header {
		switch r.Header[i].Name {
		case "ce-id", "ce-source", "ce-type":
			found++
		}
	}
	return found == 3
}

// fits reports whether properties can carry the headers, so that they are read as what
// they are.
func fits(r *broker.Record, event bool) bool {
	if !isText(r.Key) {
		return false
	}
	for i := range r.Header {
		f := &r.Header[i]
		switch f.Name {
		case plainProperty, packedProperty, keyProperty, specVersion, attributePrefix + keyProperty, attributePrefix + specVersion:
			return false
		case contentType:
			if f.Value == "" {
				return false
			}
		}
		if !isText(f.Name) || !isText(f.Value) {
			return false
		}
		if event && isAttribute(f.Name) && hasAttribute(r, f.Name) {
			return false
		}
	}
	return true
}

// hasAttribute reports whether the event has an attribute with the name of a header.
func hasAttribute(r *broker.Record, name string) bool {
	for i := range r.Header {
		if attribute, ok := strings.CutPrefix(r.Header[i].Name, attributePrefix); ok && attribute == name {
			return true
		}
	}
	return false
}

// isAttribute reports whether an attribute of a CloudEvent may have the name
// (CloudEvents 1.0.2, section 3.1).
func isAttribute(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isText reports whether s has no characters that servers may refuse (MQTT 5, section
// 1.5.4). It is UTF-8.
func isText(s string) bool {
	for _, r := range s {
		switch {
		case r < ' ', r >= 0x7f && r <= 0x9f, unicode.Is(unicode.Noncharacter_Code_Point, r):
			return false
		}
	}
	return true
}

var errProperties = errors.New("mqtt: more than 1000 user properties")

// newRecord undoes newPublish. Of properties with the same name the first counts.
func newRecord(p *paho.Publish) (broker.Record, error) {
	r := broker.Record{Body: p.Payload}
	if p.Properties == nil {
		return r, nil
	}
	user := p.Properties.User
	if len(user) > maxProperties {
		return r, errProperties
	}
	r.Header = make([]broker.Field, 0, len(user)+1)
	add := func(name, value string) {
		if _, twice := r.Get(name); !twice && name != "" {
			r.Header = append(r.Header, broker.Field{Name: name, Value: value})
		}
	}
	if p.Properties.ContentType != "" {
		add(contentType, p.Properties.ContentType)
	}
	event, plain, packed := user.Get(specVersion) != "", user.Get(plainProperty), user.Get(packedProperty)
	for i := range user {
		name, value := user[i].Key, user[i].Value
		switch {
		case name == keyProperty:
			r.Key = value
		case name == packedProperty, name == plainProperty:
		case event && name == specVersion && value == specVersionValue:
		case event && isAttribute(name) && !hasWord(plain, name):
			add(attributePrefix+name, value)
		default:
			add(name, value)
		}
	}
	if packed == "" {
		return r, nil
	}
	err := broker.UnpackHeader(&r, packed)
	if last := len(r.Header) - 1; last >= 0 && r.Header[last].Name == "" {
		r.Key, r.Header = r.Header[last].Value, r.Header[:last]
	}
	return r, err
}

// hasWord reports whether a list that is separated by blanks has a word.
func hasWord(list, word string) bool {
	for list != "" {
		var w string
		if w, list, _ = strings.Cut(list, " "); w == word {
			return true
		}
	}
	return false
}
