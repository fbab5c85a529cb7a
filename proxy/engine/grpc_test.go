package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// The client and the server of gRPC's own makers on either side of the proxy. The service needs no generated code: it is
// told one of protobuf's well-known messages and tells it back.

// chat is the service's one method, a stream both ways.
var chat = grpc.StreamDesc{StreamName: "Chat", Handler: chatting, ServerStreams: true, ClientStreams: true}

const chatMethod = "/reeve.test.Echo/Chat"

// chatting tells every message back as it comes. At the end of the stream the trailers say how many there were. The message
// "fail" ends it with a status. Of a client that goes before the end srv is told why.
func chatting(srv any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	if err := stream.SetHeader(metadata.Pairs("x-heard", strings.Join(md.Get("x-said"), ","), "x-raw-bin", "\x00\xff")); err != nil {
		return err
	}
	n := 0
	defer func() { stream.SetTrailer(metadata.Pairs("x-count", fmt.Sprint(n))) }()
	for ; ; n++ {
		var m wrapperspb.StringValue
		err := stream.RecvMsg(&m)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			select {
			case srv.(chan error) <- stream.Context().Err():
			default:
			}
			return err
		case m.Value == "fail":
			return status.Error(codes.FailedPrecondition, "as asked: 100 % ü")
		}
		if err := stream.SendMsg(&m); err != nil {
			return err
		}
	}
}

// grpcServer is the service on a socket of its own; gone tells of streams whose client has gone.
func grpcServer(t *testing.T) (_ proxy.Server, gone chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone = make(chan error, 1)
	srv := grpc.NewServer()
	srv.RegisterService(&grpc.ServiceDesc{ServiceName: "reeve.test.Echo", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{chat}}, gone)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		srv.Stop()
		wg.Wait()
	})
	s := target("a", l.Addr().String())
	s.Proto = proxy.H2Proto
	return s, gone
}

// grpcSides runs f with a client in clear and with one over TLS.
func grpcSides(t *testing.T, f func(t *testing.T, s *site, conn *grpc.ClientConn, gone <-chan error)) {
	ca := pki.New(t)
	for name, side := range map[string]struct {
		bind  func(*proxy.Config)
		creds credentials.TransportCredentials
	}{
		"clear": {func(*proxy.Config) {}, insecure.NewCredentials()},
		"TLS":   {h2OverTLS(ca), credentials.NewTLS(&tls.Config{RootCAs: ca.Pool, ServerName: "a.example"})},
	} {
		t.Run(name, func(t *testing.T) {
			server, gone := grpcServer(t)
			s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
				side.bind(c)
				// A stream may rest for a while on a busy machine.
				c.Frontends[0].Timeouts.Client, c.Backends[0].Timeouts.Server = 30*time.Second, 30*time.Second
			})
			conn, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(side.creds))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			f(t, s, conn, gone)
		})
	}
}

// chatter is one stream of a client.
type chatter struct {
	t *testing.T
	grpc.ClientStream
}

func newChatter(t *testing.T, ctx context.Context, conn *grpc.ClientConn) chatter {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	t.Cleanup(cancel)
	st, err := conn.NewStream(ctx, &chat, chatMethod)
	if err != nil {
		t.Fatal(err)
	}
	return chatter{t, st}
}

// say sends a message.
func (c chatter) say(text string) {
	c.t.Helper()
	if err := c.SendMsg(wrapperspb.String(text)); err != nil {
		c.t.Error(err)
	}
}

// hear wants this message next.
func (c chatter) hear(want string) {
	c.t.Helper()
	var m wrapperspb.StringValue
	if err := c.RecvMsg(&m); err != nil || m.Value != want {
		c.t.Errorf("%.20q (%d bytes) %v, want %.20q (%d bytes)", m.Value, len(m.Value), err, want, len(want))
	}
}

// ends wants the end of the stream: its status, and the number of messages in the trailers.
func (c chatter) ends(code codes.Code, text, count string) {
	c.t.Helper()
	err := c.RecvMsg(&wrapperspb.StringValue{})
	if err == io.EOF {
		err = nil
	}
	if st := status.Convert(err); st.Code() != code || st.Message() != text {
		c.t.Errorf("status %v %q, want %v %q", st.Code(), st.Message(), code, text)
	}
	if got := strings.Join(c.Trailer().Get("x-count"), ","); got != count {
		c.t.Errorf("trailers %v, want x-count %q", c.Trailer(), count)
	}
}

// TestGRPC: a stream's messages go both ways one by one, each before the next is sent, and large ones; metadata goes ahead,
// the status and more of it behind.
func TestGRPC(t *testing.T) {
	grpcSides(t, func(t *testing.T, s *site, conn *grpc.ClientConn, _ <-chan error) {
		c := newChatter(t, metadata.AppendToOutgoingContext(t.Context(), "x-said", "hello"), conn)
		for i := range 50 {
			text := fmt.Sprint("message ", i)
			c.say(text)
			c.hear(text)
		}
		md, err := c.Header()
		if err != nil || strings.Join(md.Get("x-heard"), ",") != "hello" || strings.Join(md.Get("x-raw-bin"), ",") != "\x00\xff" {
			t.Errorf("metadata %v, %v", md, err)
		}
		big := strings.Repeat("0123456789", 200_000)
		c.say(big)
		c.hear(big)
		c.say("")
		c.hear("")
		if err := c.CloseSend(); err != nil {
			t.Error(err)
		}
		c.ends(codes.OK, "", "52")
		s.want(" be/a ", " 200 ", " ---- ", `"POST `+chatMethod+` HTTP/2.0"`)
	})
}

// TestGRPCStatus: a stream that fails amid its messages, and a method that nobody has, whose status comes with the head.
func TestGRPCStatus(t *testing.T) {
	grpcSides(t, func(t *testing.T, s *site, conn *grpc.ClientConn, _ <-chan error) {
		c := newChatter(t, t.Context(), conn)
		c.say("one")
		c.hear("one")
		c.say("fail")
		c.ends(codes.FailedPrecondition, "as asked: 100 % ü", "1")
		s.want(" be/a ", " 200 ", `"POST `+chatMethod+` HTTP/2.0"`)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := conn.Invoke(ctx, "/reeve.test.Echo/None", wrapperspb.String("x"), &wrapperspb.StringValue{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%v", err)
		}
		s.want(" be/a ", " 200 ", `"POST /reeve.test.Echo/None HTTP/2.0"`)
	})
}

// TestGRPCCancel: the server learns at once that a client has given its stream up, and other streams of the connection go on.
func TestGRPCCancel(t *testing.T) {
	grpcSides(t, func(t *testing.T, s *site, conn *grpc.ClientConn, gone <-chan error) {
		other := newChatter(t, t.Context(), conn)
		ctx, cancel := context.WithCancel(t.Context())
		c := newChatter(t, ctx, conn)
		c.say("one")
		c.hear("one")
		cancel()
		select {
		case err := <-gone:
			if err != context.Canceled {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the server's stream goes on")
		}
		s.want(" be/a ", " 200 ", " CD-- ")
		other.say("two")
		other.hear("two")
		if err := other.CloseSend(); err != nil {
			t.Error(err)
		}
		other.ends(codes.OK, "", "1")
	})
}

// TestGRPCManyStreams: a hundred streams at once on one connection of the client.
func TestGRPCManyStreams(t *testing.T) {
	grpcSides(t, func(t *testing.T, s *site, conn *grpc.ClientConn, _ <-chan error) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				st, err := conn.NewStream(ctx, &chat, chatMethod)
				if err != nil {
					t.Error(err)
					return
				}
				c := chatter{t, st}
				for n := range 20 {
					text := strings.Repeat(fmt.Sprint(i), 1+n*100)
					c.say(text)
					c.hear(text)
				}
				if err := c.CloseSend(); err != nil {
					t.Error(err)
				}
				c.ends(codes.OK, "", "20")
			})
		}
		wg.Wait()
		if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.ConnTot != 1 || row.ReqTot != 100 {
			t.Errorf("%d requests on %d connections", row.ReqTot, row.ConnTot)
		}
	})
}
