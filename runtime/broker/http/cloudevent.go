package httpbroker

import (
	"bytes"
	"encoding/base64"
	"encoding/json" //nolint:depguard // the JSON format of CloudEvents, not that of a message
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/micro-event/micro-event/runtime/broker"
)

// CloudEvents 1.0, HTTP protocol binding and JSON event format.
const (
	structuredType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
	attribute      = "ce-"
	keyAttribute   = "partitionkey"
)

var errEvent = errors.New("not a CloudEvent")

func mediaType(h http.Header) string {
	parsed, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return parsed
}

func isStructured(h http.Header) bool { return mediaType(h) == structuredType }
func isBatch(h http.Header) bool      { return mediaType(h) == batchType }

// cloudEvent returns the record of a request in binary or structured mode.
func cloudEvent(h http.Header, body []byte) (*broker.Record, error) {
	attributes, contentType, data := map[string]string{}, h.Get("Content-Type"), body
	var err error
	if isStructured(h) {
		attributes, contentType, data, err = structuredMode(body)
	} else {
		err = binaryMode(h, attributes)
	}
	if err != nil {
		return nil, err
	}
	if v := attributes["specversion"]; v != "1.0" {
		return nil, fmt.Errorf("%w: specversion is not 1.0", errEvent)
	}
	for _, required := range [...]string{"id", "source", "type"} {
		if attributes[required] == "" {
			return nil, fmt.Errorf("%w: it has no %s", errEvent, required)
		}
	}
	r := &broker.Record{Key: attributes[keyAttribute], Body: data}
	delete(attributes, keyAttribute)
	delete(attributes, "specversion")
	if contentType != "" {
		r.Header = append(r.Header, broker.Field{Name: "content-type", Value: contentType})
	}
	for name, value := range attributes {
		r.Header = append(r.Header, broker.Field{Name: attribute + name, Value: value})
	}
	return r, nil
}

// binaryMode reads the attributes in headers, whose values are percent-encoded (HTTP
// binding, section 3.1.3.2).
func binaryMode(h http.Header, attributes map[string]string) error {
	for name, values := range h {
		name, is := strings.CutPrefix(strings.ToLower(name), attribute)
		if !is {
			continue
		}
		if len(values) != 1 {
			return fmt.Errorf("%w: attribute %s stands %d times", errEvent, name, len(values))
		}
		value, err := url.PathUnescape(values[0])
		if err == nil && !utf8.ValidString(value) {
			err = errors.New("it is not UTF-8")
		}
		if err == nil {
			err = checkAttribute(name)
		}
		if err != nil {
			return fmt.Errorf("%w: attribute %.20q: %w", errEvent, name, err)
		}
		attributes[name] = value
	}
	return nil
}

// checkAttribute wants a name that CloudEvents allows (section 3.1).
func checkAttribute(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') }) {
		return errors.New("a name has lower-case letters and digits only")
	}
	return nil
}

// structuredMode reads an event in the JSON format.
func structuredMode(body []byte) (attributes map[string]string, contentType string, data []byte, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, "", nil, fmt.Errorf("%w: malformed JSON", errEvent)
	}
	attributes = make(map[string]string, len(members))
	for name, value := range members {
		switch name {
		case "data", "data_base64":
			continue
		case "datacontenttype":
			name = ""
		default:
			if err := checkAttribute(name); err != nil {
				return nil, "", nil, fmt.Errorf("%w: attribute %.20q: %w", errEvent, name, err)
			}
		}
		text, err := scalar(value)
		if err != nil {
			return nil, "", nil, fmt.Errorf("%w: attribute %.20q: %w", errEvent, name, err)
		}
		if text != "" {
			attributes[name] = text
		}
	}
	contentType = attributes[""]
	delete(attributes, "")
	if contentType == "" {
		contentType = "application/json" // JSON format, section 3.1
	}
	data, err = structuredData(members["data"], members["data_base64"], contentType)
	return attributes, contentType, data, err
}

// scalar returns the canonical text of an attribute; of null that is empty.
func scalar(value json.RawMessage) (string, error) {
	switch value = bytes.TrimSpace(value); {
	case len(value) == 0 || value[0] == '{' || value[0] == '[':
		return "", errors.New("it is neither text, number nor boolean")
	case string(value) == "null":
		return "", nil
	case value[0] == '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err
	}
	return string(value), nil
}

// structuredData returns the data of an event: JSON as it stands, or the text or the
// bytes that JSON carries for another content type.
func structuredData(data, encoded json.RawMessage, contentType string) ([]byte, error) {
	var text string
	switch {
	case data != nil && encoded != nil:
		return nil, fmt.Errorf("%w: it has both data and data_base64", errEvent)
	case encoded != nil:
		if json.Unmarshal(encoded, &text) != nil {
			return nil, fmt.Errorf("%w: data_base64 is not text", errEvent)
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%w: data_base64 is not base64", errEvent)
		}
		return b, nil
	case data == nil || string(data) == "null":
		return nil, nil
	case !isJSON(contentType) && json.Unmarshal(data, &text) == nil:
		return []byte(text), nil
	}
	return data, nil
}

func isJSON(contentType string) bool {
	parsed, _, err := mime.ParseMediaType(contentType)
	return err == nil && (parsed == "application/json" || parsed == "text/json" || strings.HasSuffix(parsed, "+json"))
}
