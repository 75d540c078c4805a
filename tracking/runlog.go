package tracking

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/tracking/wire"
)

func (r *Run) tag(t Tag) wire.Tag {
	return wire.Tag{Key: r.keys.tags.key(t.Key), Value: wire.Cut(t.Value, wire.MaxTagValue)}
}

// LogParams logs parameters. A value of more than 6000 characters is cut, with
// a note at its end, and kept whole as the artifact params/<key>.txt. A
// parameter that was logged before with another value becomes the tag
// ctrx.param.<key>, because MLflow never changes a parameter.
func (r *Run) LogParams(ctx context.Context, params []Param) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var op operation
	var long []operation
	for _, p := range params {
		key := r.keys.params.key(p.Key)
		value := p.Value
		if n := utf8.RuneCountInString(value); n > wire.MaxParamValue {
			file := "params/" + strings.ReplaceAll(key, ":", "_") + ".txt"
			note := fmt.Sprintf("... [%d characters, all in artifact %s]", n, file)
			value = wire.Cut(value, wire.MaxParamValue-utf8.RuneCountInString(note)) + note
			long = append(long, operation{Op: opArtifact, Path: file, Size: int64(len(p.Value)), source: strings.NewReader(p.Value)})
		}
		old, known := r.params[key]
		switch {
		case known && old == value:
		case known:
			op.Tags = append(op.Tags, r.c.changedParam(key, value))
		default:
			r.params[key] = value
			op.Params = append(op.Params, wire.Param{Key: key, Value: value})
		}
	}
	if err := r.doBatches(ctx, op); err != nil {
		return err
	}
	for _, op := range long {
		if err := r.do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// changedParam is the tag that keeps the new value of a parameter.
func (c *Client) changedParam(key, value string) wire.Tag {
	tag := wire.Tag{Key: SanitizeKey("ctrx.param." + key), Value: wire.Cut(value, wire.MaxTagValue)}
	c.cfg.Sink.Send(event.Event{Type: event.Warn,
		Text: fmt.Sprintf("parameter %s was logged before with another value, which MLflow never changes: the new one is tag %s", key, tag.Key)})
	return tag
}

// LogMetrics logs points of metrics, any number of them.
func (r *Run) LogMetrics(ctx context.Context, metrics []Metric) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var op operation
	now := r.c.cfg.Now().UnixMilli()
	for _, m := range metrics {
		at := now
		if !m.Time.IsZero() {
			at = max(0, m.Time.UnixMilli())
		}
		op.Metrics = append(op.Metrics, wire.Metric{Key: r.keys.metrics.key(m.Key), Value: wire.Float(m.Value), Timestamp: wire.Int(at), Step: wire.Int(m.Step)})
	}
	return r.doBatches(ctx, op)
}

// SetTags sets tags. A value of more than 8000 characters is cut.
func (r *Run) SetTags(ctx context.Context, tags []Tag) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var op operation
	for _, t := range tags {
		op.Tags = append(op.Tags, r.tag(t))
	}
	return r.doBatches(ctx, op)
}

// LogInputs ties datasets to the run.
func (r *Run) LogInputs(ctx context.Context, datasets []Dataset) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var inputs []wire.DatasetInput
	for _, d := range datasets {
		in, err := d.input()
		if err != nil {
			return err
		}
		inputs = append(inputs, in)
	}
	for _, op := range splitInputs(inputs) {
		if err := r.do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (d Dataset) input() (wire.DatasetInput, error) {
	if d.Name == "" || d.Digest == "" || d.SourceType == "" || d.Source == "" {
		return wire.DatasetInput{}, errs.New(errs.Usage, "dataset %q needs a name, a digest, a source type and a source", d.Name)
	}
	if utf8.RuneCountInString(d.Source) > wire.MaxDatasetSource {
		return wire.DatasetInput{}, errs.New(errs.Usage, "dataset %s: its source has more than %d characters", d.Name, wire.MaxDatasetSource)
	}
	in := wire.DatasetInput{Dataset: wire.Dataset{
		Name: wire.Cut(d.Name, wire.MaxDatasetName), Digest: wire.Cut(d.Digest, wire.MaxDatasetDigest), SourceType: d.SourceType, Source: d.Source,
	}}
	if utf8.RuneCountInString(d.Schema) <= wire.MaxDatasetSchema {
		in.Dataset.Schema = d.Schema
	}
	if utf8.RuneCountInString(d.Profile) <= wire.MaxDatasetProfile {
		in.Dataset.Profile = d.Profile
	}
	tags := d.Tags
	if d.Context != "" {
		tags = append([]Tag{{wire.TagDataContext, d.Context}}, tags...)
	}
	for _, t := range tags {
		in.Tags = append(in.Tags, wire.Tag{Key: wire.Cut(t.Key, wire.MaxInputTagKey), Value: wire.Cut(t.Value, wire.MaxInputTagValue)})
	}
	return in, nil
}

// LogArtifact stores the content of r as the artifact name, a slash-separated
// path below the run's root. It reads to the end, from the present position.
func (r *Run) LogArtifact(ctx context.Context, name string, content io.ReadSeeker) error {
	if err := checkArtifactPath(name); err != nil {
		return err
	}
	start, err := content.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("log artifact %s: %w", name, err)
	}
	end, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("log artifact %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.do(ctx, operation{Op: opArtifact, Path: name, Size: end - start, source: content, from: start})
}

// LogFile stores a file as an artifact.
func (r *Run) LogFile(ctx context.Context, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("log artifact %s: %w", name, err)
	}
	defer f.Close()
	return r.LogArtifact(ctx, name, f)
}

// checkArtifactPath refuses names that lead out of the run's root.
func checkArtifactPath(name string) error {
	if name == "" || path.Clean(name) != name || strings.ContainsAny(name, "\\#\x00") || !filepath.IsLocal(filepath.FromSlash(name)) || name == "." {
		return errs.New(errs.Usage, "artifact path %q is not a clean relative path", name)
	}
	return nil
}
