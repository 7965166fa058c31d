package forward
import "context"
var openNDSSubject = subject{name: "opennds", most: 1, enforce: func(ctx context.Context, r *router) error { return nil }}
