package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/event"
)

// checkout answers the RPC PlaceOrder, which takes the id of an order.
type checkout struct{ events event.Publisher }

// placeOrder answers when the broker has the event: an order that nobody will
// bill is not placed. The deadline of the RPC bounds that, too.
func (c *checkout) placeOrder(ctx context.Context, id *wrapperspb.StringValue) (*emptypb.Empty, error) {
	err := ordersv1.PublishOrderCreated(ctx, c.events, &ordersv1.OrderCreated{OrderId: id.GetValue()})
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &emptypb.Empty{}, nil
}

// checkoutDesc and its handler are what protoc-gen-go-grpc writes for
//
//	service Checkout { rpc PlaceOrder(google.protobuf.StringValue) returns (google.protobuf.Empty); }
var checkoutDesc = grpc.ServiceDesc{
	ServiceName: "shop.checkout.v1.Checkout",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "PlaceOrder", Handler: placeOrderHandler}},
}

const placeOrderMethod = "/shop.checkout.v1.Checkout/PlaceOrder"

func placeOrderHandler(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // gRPC says where ctx stands
	var id wrapperspb.StringValue
	if err := decode(&id); err != nil {
		return nil, err
	}
	return srv.(*checkout).placeOrder(ctx, &id)
}
