package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// StageLogLimit is how much of the end of a stage's output, in bytes, goes to
// MLflow as the artifact logs/STAGE.log.
const StageLogLimit = 256 << 10

// logStageLogs keeps the end of the output of each stage whose commands ran,
// also of those that failed.
func (t *tracker) logStageLogs(ctx context.Context, done []pipeline.StageDone) error {
	if !t.project.Ctrx.Tracking.StageLogs {
		return nil
	}
	var all error
	for _, d := range done {
		if d.Action != pipeline.Run || d.Stage.IsData() || d.Took == 0 && d.Err == nil {
			continue
		}
		text, err := t.stageLog(d.Stage)
		if errs.KindOf(err) == errs.NotFound || err == nil && len(text) == 0 {
			continue // its output went to the terminal
		}
		if err == nil {
			err = t.run.LogArtifact(ctx, "logs/"+strings.NewReplacer(":", "_", "\\", "_", "#", "_").Replace(d.Stage.Address("."))+".log", bytes.NewReader(text))
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("log the output of stage '%s': %w", d.Stage.Name, err))
		}
	}
	return all
}

// stageLog reads the end of a stage's log, from the beginning of a line, without
// secrets.
func (t *tracker) stageLog(s *pipeline.Stage) ([]byte, error) {
	r, err := t.project.Log(s)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var left int64
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Size() > StageLogLimit {
			if left, err = f.Seek(info.Size()-StageLogLimit, io.SeekStart); err != nil {
				return nil, err
			}
		}
	}
	data, err := io.ReadAll(io.LimitReader(r, StageLogLimit))
	if err != nil {
		return nil, err
	}
	note := ""
	if left > 0 {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			left, data = left+int64(i)+1, data[i+1:]
		}
		note = fmt.Sprintf("[%d bytes before this are left out]\n", left)
	}
	return append([]byte(note), redactText(data, t.options.Config.Env)...), nil
}

var (
	// urlSecret is user and password in a URL.
	urlSecret = regexp.MustCompile(`(://)[^/\s"'@]+@`)
	// namedSecret is a value whose name says that it is one. Tokens are also what
	// a language model counts; the secret ones are long.
	namedSecret = regexp.MustCompile(`(?i)((?:secret|password|passwd|access_key|account_key|api_key|connection_string|credentials?)["']?\s*[=:]\s*["']?)[^\s"',;&]+|(token["']?\s*[=:]\s*["']?)[^\s"',;&]{12,}`)
)

// redactText takes secrets out of a text: passwords in URLs, values whose names
// say that they are secret, and those that ctrx itself was given.
func redactText(text []byte, env func(string) string) []byte {
	for _, name := range []string{"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CTRX_SERVER_TOKEN"} {
		if v := env(name); len(v) >= 4 {
			text = bytes.ReplaceAll(text, []byte(v), []byte("***"))
		}
	}
	text = urlSecret.ReplaceAll(text, []byte("${1}***@"))
	return namedSecret.ReplaceAll(text, []byte("${1}${2}***"))
}
