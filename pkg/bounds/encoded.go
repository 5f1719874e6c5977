// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package bounds

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"clusterpass.dev/pkg/words"
)

const (
	// maxDepth is deeper than anything that means something here.
	maxDepth = 100
	// maxMessageDepth is that of messages in protobuf: none of Kubernetes is as deep.
	maxMessageDepth = 20
	// maxPath bounds the path of a field, in bytes, and maxNumber what is said of a number.
	maxPath   = 256
	maxNumber = 32
)

// Limits bound an encoded object.
type Limits struct {
	// Entries bounds one list or map.
	Entries int
	// Items bounds the items of all lists together, Keys the keys of all maps.
	Items, Keys int
	// Numbers refuses numbers, also in strings, that are no use as quantities: see largeNumber.
	Numbers bool
}

// largeNumber matches numbers of which a resource.Quantity takes much more time and memory to read
// or to compare than the text has bytes: 1e1000000000 has a billion digits, and e1000000000, which
// is nought, takes as long. Exponents of three digits are beyond any amount that means something.
var largeNumber = regexp.MustCompile(`^[+-]?([0-9.]*[eE][+-]?[0-9]{4,}|[0-9.]{100,}([a-zA-Z]{0,2}|[eE][+-]?[0-9]+))$`)

// EncodedError says how an encoded object goes beyond its limits.
type EncodedError struct {
	// Field is the path of the list or map that has too many entries, without indices. It is empty if
	// all together are too many.
	Field string
	// IsMalformed says that not the entries are too many, but the levels, or that a number is too
	// large.
	IsMalformed bool
	message     string
}

// Error implements error.
func (e *EncodedError) Error() string { return e.message }

// CheckJSON returns an *EncodedError where an object in JSON has more entries than limits allow.
// Nothing is kept of what is read, and what is no JSON is for the decoder to refuse.
func CheckJSON(object []byte, limits Limits) error {
	c := &entryCounter{decoder: json.NewDecoder(bytes.NewReader(object)), limits: limits}
	// What is too large for a float is no end of the document.
	c.decoder.UseNumber()
	c.open = []container{{}}
	for {
		token, err := c.decoder.Token()
		if err != nil {
			return nil //nolint:nilerr // The end, or what the decoder refuses.
		}
		if err := c.next(token); err != nil {
			return err
		}
	}
}

// entryCounter counts the entries in a JSON document.
type entryCounter struct {
	decoder *json.Decoder
	limits  Limits
	// open are the lists and maps that the next token is in, from the outside.
	open        []container
	items, keys int
}

// container is a list or a map that is being read.
type container struct {
	isMap   bool
	entries int
	// key is that of the entry that is being read; hasKey says that its value is next.
	key    string
	hasKey bool
}

func (c *entryCounter) next(token json.Token) error {
	delimiter, _ := token.(json.Delim)
	if delimiter == '}' || delimiter == ']' {
		c.open = c.open[:len(c.open)-1]
		return nil
	}
	in := &c.open[len(c.open)-1]
	if in.isMap && !in.hasKey {
		in.key, in.hasKey = token.(string)
		return c.entry(in, &c.keys, c.limits.Keys)
	}
	in.hasKey = false
	if c.limits.Numbers && isLargeNumber(token) {
		return &EncodedError{IsMalformed: true,
			message: fmt.Sprintf("%s has a number that is too large: %s", cmp.Or(c.path(), "the body"), words.Clean(fmt.Sprint(token), maxNumber))}
	}
	if !in.isMap {
		if err := c.entry(in, &c.items, c.limits.Items); err != nil {
			return err
		}
	}
	if delimiter == 0 {
		return nil
	}
	if len(c.open) > maxDepth {
		return &EncodedError{IsMalformed: true, message: fmt.Sprintf("the body is nested deeper than %d", maxDepth)}
	}
	c.open = append(c.open, container{isMap: delimiter == '{'})
	return nil
}

// entry counts one entry of in, which has no more than those of its kind may have together.
func (c *entryCounter) entry(in *container, all *int, together int) error {
	in.entries++
	*all++
	switch {
	case in.entries > c.limits.Entries:
		path := c.path()
		return &EncodedError{Field: path, message: fmt.Sprintf("%s has more than %d entries", cmp.Or(path, "the body"), c.limits.Entries)}
	case *all > together:
		return &EncodedError{message: fmt.Sprintf("the lists and maps of the body have more than %d entries together", together)}
	}
	return nil
}

// path returns the path of the innermost list or map, without indices.
func (c *entryCounter) path() string {
	var keys []string
	for _, outer := range c.open[:len(c.open)-1] {
		if outer.isMap {
			keys = append(keys, outer.key)
		}
	}
	return words.Clean(strings.Join(keys, "."), maxPath)
}

func isLargeNumber(token json.Token) bool {
	switch value := token.(type) {
	case json.Number:
		return largeNumber.MatchString(value.String())
	case string:
		// A quantity may have space around it.
		return largeNumber.MatchString(strings.TrimSpace(value))
	default:
		return false
	}
}

// CheckProtobuf returns an *EncodedError where a message in protobuf has a quantity that is a
// largeNumber, or more than most fields that are messages, strings or bytes, together with those of
// the messages in it. A field of two bytes may become an object of hundreds. Nothing is decoded:
// whatever could be a message counts as one, and what is none at all is for the decoder to refuse.
// No text has so many that it would be refused for them: of what can be printed, a field has at
// least 34 bytes.
func CheckProtobuf(message []byte, most int) error {
	var number string
	fields, _ := fieldsOfMessage(message, 0, maxMessageDepth, most, &number)
	if fields > most {
		return &EncodedError{message: fmt.Sprintf("the body has more than %d fields", most)}
	}
	if number != "" {
		return &EncodedError{IsMalformed: true, message: "the body has a number that is too large: " + words.Clean(number, maxNumber)}
	}
	return nil
}

// fieldsOfMessage returns how many fields there are in the message that is field number of another,
// or one more than most as soon as there are; and false if it is no message. It sets large to a
// largeNumber that may be a quantity: the text of a resource.Quantity is its field 1, and no
// quantity that is read here is itself a field 1. So the names of objects, which are in their
// metadata, are left out; the keys of labels are not, and are words in practice.
func fieldsOfMessage(message []byte, number int32, depth, most int, large *string) (fields int, ok bool) {
	for len(message) > 0 {
		field, value, rest, ok := nextField(message)
		if !ok {
			return 0, false
		}
		if value != nil {
			fields++
			if field == 1 && number > 1 && largeNumber.Match(value) {
				*large = string(value)
			}
			if depth > 0 {
				if inner, ok := fieldsOfMessage(value, field, depth-1, most-fields, large); ok {
					fields += inner
				}
			}
		}
		if fields > most {
			return most + 1, true
		}
		message = rest
	}
	return fields, true
}

// nextField returns the number of the first field of a message, what it holds where that is bytes,
// which is not nil then, and the rest of the message; and false if Kubernetes' decoders refuse the
// message. They take more than the specification of protobuf allows: numbers of any size, of which
// they drop bits, and groups that end by another number. What is refused here and taken there is
// not counted.
func nextField(message []byte) (field int32, value, rest []byte, ok bool) {
	tag, rest, ok := nextVarint(message)
	field = int32(tag >> 3) //nolint:gosec // As they do.
	kind := protowire.Type(tag & 7)
	if !ok || field <= 0 || kind == protowire.EndGroupType {
		return 0, nil, nil, false
	}
	if kind != protowire.StartGroupType {
		value, rest, ok = nextValue(kind, rest)
		return field, value, rest, ok
	}
	for open := 1; open > 0; {
		if tag, rest, ok = nextVarint(rest); !ok {
			return 0, nil, nil, false
		}
		switch kind := protowire.Type(tag & 7); kind {
		case protowire.StartGroupType:
			open++
		case protowire.EndGroupType:
			open--
		default:
			if _, rest, ok = nextValue(kind, rest); !ok {
				return 0, nil, nil, false
			}
		}
	}
	return field, nil, rest, true
}

// nextValue returns what a field of a kind that is no group holds, where that is bytes, and what
// follows it.
func nextValue(kind protowire.Type, message []byte) (value, rest []byte, ok bool) {
	var length uint64
	switch kind {
	case protowire.VarintType:
		_, rest, ok = nextVarint(message)
		return nil, rest, ok
	case protowire.Fixed64Type:
		length = 8
	case protowire.Fixed32Type:
		length = 4
	case protowire.BytesType:
		if length, message, ok = nextVarint(message); !ok {
			return nil, nil, false
		}
	default:
		return nil, nil, false
	}
	if length > uint64(len(message)) {
		return nil, nil, false
	}
	value, rest = message[:length:length], message[length:]
	if kind != protowire.BytesType {
		value = nil
	}
	return value, rest, true
}

// maxVarint is how many bytes a number may have.
const maxVarint = 10

// nextVarint returns the number that a message begins with, without the bits that are too many, and
// what follows it.
func nextVarint(message []byte) (number uint64, rest []byte, ok bool) {
	for i := range min(len(message), maxVarint) {
		number |= uint64(message[i]&0x7f) << (7 * i)
		if message[i] < 0x80 {
			return number, message[i+1:], true
		}
	}
	return 0, nil, false
}
