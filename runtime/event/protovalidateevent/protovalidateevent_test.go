package protovalidateevent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/protovalidateevent"
)

var spec = &event.Spec{Topic: "shop.orders", Type: "shop.v1.Order"}

// rules validates a StringValue as a message of its form whose field has rules,
// so that these tests need no generated code.
type rules struct {
	protovalidate.Validator
	message protoreflect.MessageDescriptor
}

// order returns the validator of
//
//	message Order { string id = 1 [(buf.validate.field) = ...]; }
func order(field *validate.FieldRules) (rules, error) {
	options := &descriptorpb.FieldOptions{}
	proto.SetExtension(options, validate.E_Field, field)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("order.proto"), Package: proto.String("shop.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Order"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("id"), Number: proto.Int32(1), Options: options,
				Type:  descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}},
		}},
	}, nil)
	if err != nil {
		return rules{}, err
	}
	v, err := protovalidate.New()
	return rules{v, file.Messages().Get(0)}, err
}

// withPrefix accepts ids that begin with "o-".
func withPrefix() (rules, error) {
	return order(validate.FieldRules_builder{String: validate.StringRules_builder{Prefix: proto.String("o-")}.Build()}.Build())
}

func (r rules) Validate(m proto.Message, opts ...protovalidate.ValidationOption) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	o := dynamicpb.NewMessage(r.message)
	if err := proto.Unmarshal(body, o); err != nil {
		return err
	}
	return r.Validator.Validate(o, opts...)
}

func must(t *testing.T, r rules, err error) rules {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func broken() (rules, error) {
	return order(&validate.FieldRules{Cel: []*validate.Rule{{Id: proto.String("broken"), Expression: proto.String("this.nothing")}}})
}

func quietBroker() *broker.Engine {
	return memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
}

func TestInvalidEventIsNotPublished(t *testing.T) {
	for name, rules := range map[string]func() (rules, error){"breaks a rule": withPrefix, "has a broken rule": broken} {
		r, err := rules()
		b := quietBroker()
		err = errors.Join(err, b.Connect(t.Context()), b.DeclareQueue(t.Context(), spec.Topic, "billing"))
		if err != nil {
			t.Fatal(err)
		}
		client := event.NewClient(b, "shop", event.WrapPublish(protovalidateevent.Publish(r)))
		err = client.PublishEvent(t.Context(), spec, wrapperspb.String("bad"))
		_, invalid := errors.AsType[*protovalidate.ValidationError](err)
		if !errors.Is(err, broker.ErrRejected) || invalid != (name == "breaks a rule") {
			t.Errorf("%s: error %v, want one that is rejected", name, err)
		}
	}
}

func TestValidEventPassesAndInvalidOneIsDeadLettered(t *testing.T) {
	r, err := withPrefix()
	v := must(t, r, err)
	dead := make(chan broker.PoisonInfo, 1)
	b := memorybroker.New(broker.WithHooks(broker.Hooks{DeadLettered: func(p broker.PoisonInfo) { dead <- p }}))
	server := event.NewServer(b, "billing", event.WrapHandle(protovalidateevent.Handle(v)))
	handled := make(chan string, 2)
	err = errors.Join(event.Subscribe(server, spec, func(_ context.Context, e *wrapperspb.StringValue) error {
		handled <- e.GetValue()
		return nil
	}), server.Start(t.Context()))
	careless := event.NewClient(b, "shop")
	careful := event.NewClient(b, "shop", event.WrapPublish(protovalidateevent.Publish(v)))
	err = errors.Join(err,
		careless.PublishEvent(t.Context(), spec, wrapperspb.String("bad")),
		careful.PublishEvent(t.Context(), spec, wrapperspb.String("o-1")),
	)
	if err != nil {
		t.Fatal(err)
	}
	if id := <-handled; id != "o-1" {
		t.Errorf("handled %q, want o-1", id)
	}
	p := <-dead
	if invalid, ok := errors.AsType[*protovalidate.ValidationError](p.Err); !ok || len(invalid.Violations) != 1 || p.Attempts != 1 {
		t.Errorf("dead letter after %d attempts: %v", p.Attempts, p.Err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenRuleIsNoFaultOfTheEvent(t *testing.T) {
	r, err := broken()
	v := must(t, r, err)
	handle := protovalidateevent.Handle(v)(func(context.Context, proto.Message) error {
		t.Error("handled")
		return nil
	})
	if err := handle(t.Context(), wrapperspb.String("o-1")); err == nil || broker.IsPermanent(err) {
		t.Errorf("error %v, want one that is retried", err)
	}
}

// Events that break the rules of their schema are refused by the client, with
// what is wrong.
func Example() {
	v, err := withPrefix() // a program calls protovalidate.New
	if err != nil {
		fmt.Println(err)
	}
	b := quietBroker()
	client := event.NewClient(b, "shop", event.WrapPublish(protovalidateevent.Publish(v)))
	err = client.PublishEvent(context.Background(), spec, wrapperspb.String("1"))
	if invalid, ok := errors.AsType[*protovalidate.ValidationError](err); ok {
		fmt.Println(invalid.Violations[0].Proto.GetMessage())
	}
	fmt.Println(errors.Is(err, broker.ErrRejected))
	// Output:
	// does not have prefix `o-`
	// true
}
