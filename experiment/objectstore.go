package experiment

import (
	"context"

	"ctrx/storage/remote"
	"ctrx/tracking"
)

// ObjectStore opens the buckets that an MLflow server keeps artifacts in when
// it expects its clients to write there (artifact roots of the form s3://...).
func ObjectStore(env func(string) string) func(context.Context, tracking.ObjectStoreSpec) (tracking.ObjectStore, error) {
	return func(ctx context.Context, spec tracking.ObjectStoreSpec) (tracking.ObjectStore, error) {
		config := map[string]string{"url": "s3://" + spec.Bucket}
		if spec.Endpoint != "" {
			config["endpointurl"] = spec.Endpoint
		}
		if spec.IgnoreTLS {
			config["ssl_verify"] = "false"
		}
		return remote.Open(ctx, "MLflow artifacts", config, "", remote.Access{Env: env})
	}
}
