package experiment

import (
	"context"

	"ctrx/pipeline"
	"ctrx/tracking"
)

func checkoutData(ctx context.Context, p *pipeline.Project, client *tracking.Client, o RunCheckoutOptions) (RunRestored, error) {
	return RunRestored{}, nil
}
