// Package wire holds the JSON shapes of the MLflow REST API, as MLflow 3.x
// writes them and older servers accept them.
//
// The client (package tracking) and the embedded server (package
// tracking/server) both use these types, so the two cannot drift apart. Field
// names, their order and what is left out when empty follow the answers of a
// real server: identifiers are strings, 64-bit integers are JSON numbers, and
// the floats JSON cannot express are the strings "NaN", "Infinity" and
// "-Infinity".
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limits of the API (MLflow 3.17.2). Lengths count characters, not bytes.
const (
	MaxBatchMetrics  = 1000    // metrics in one log-batch
	MaxBatchParams   = 100     // parameters in one log-batch
	MaxBatchTags     = 100     // tags in one log-batch
	MaxBatchEntities = 1000    // metrics, parameters and tags together
	MaxBatchBytes    = 1000000 // body of a log-batch; a convention that some servers enforce

	MaxKey            = 250  // key of a parameter, metric or tag
	MaxParamValue     = 6000 // a longer value is cut by the server
	MaxTagValue       = 8000 // a longer value is cut by the server
	MaxExperimentName = 500
	MaxRoot           = 2048  // of the address of an experiment's artifacts
	MaxExperimentTag  = 20000 // value of an experiment tag

	MaxDatasetName    = 500
	MaxDatasetDigest  = 36
	MaxDatasetSource  = 65535
	MaxDatasetSchema  = 1048575
	MaxDatasetProfile = 16777215
	MaxInputTagKey    = 255
	MaxInputTagValue  = 500

	MaxSearchResults     = 50000 // largest page of a search
	DefaultSearchResults = 1000
)

// Error codes of MLflow that are told apart.
const (
	InvalidParameterValue = "INVALID_PARAMETER_VALUE"
	ResourceDoesNotExist  = "RESOURCE_DOES_NOT_EXIST"
	ResourceAlreadyExists = "RESOURCE_ALREADY_EXISTS"
	EndpointNotFound      = "ENDPOINT_NOT_FOUND"
	InternalError         = "INTERNAL_ERROR"
	InvalidState          = "INVALID_STATE"
	NotImplemented        = "NOT_IMPLEMENTED"
	PermissionDenied      = "PERMISSION_DENIED"
	TemporarilyUnavail    = "TEMPORARILY_UNAVAILABLE"
	Unauthenticated       = "UNAUTHENTICATED"
)

// Tag keys that MLflow gives a meaning.
const (
	TagRunName     = "mlflow.runName"      // always equal to the name of the run
	TagDataContext = "mlflow.data.context" // on a dataset input: training, validation, ...
)

// Int is a 64-bit integer that is also accepted as a string or as a float
// without a fraction, because gateways and older servers send those.
type Int int64

// UnmarshalJSON implements json.Unmarshaler.
func (i *Int) UnmarshalJSON(data []byte) error {
	s := strings.Trim(string(data), `"`)
	if s == "null" || s == "" {
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		*i = Int(n)
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<62 {
		return fmt.Errorf("%s is not an integer", data)
	}
	*i = Int(f)
	return nil
}

// Float is a metric value: any 64-bit float, NaN and the infinities included.
type Float float64

// MarshalJSON implements json.Marshaler.
func (f Float) MarshalJSON() ([]byte, error) { return f.appendJSON(nil), nil }

func (f Float) appendJSON(b []byte) []byte {
	v := float64(f)
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	return append(b, FormatFloat(v)...)
}

// FormatFloat writes a finite float as Python's repr does: the shortest text
// that reads back equal, always with a fraction or an exponent.
func FormatFloat(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e16) {
		s := strconv.FormatFloat(v, 'e', -1, 64)
		return s
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Float) UnmarshalJSON(data []byte) error {
	s := strings.Trim(string(data), `"`)
	if s == "null" || s == "" {
		return nil
	}
	v, err := ParseFloat(s)
	if err != nil {
		return fmt.Errorf("%s is not a number", data)
	}
	*f = Float(v)
	return nil
}

// ParseFloat reads a float as Python's float() does for the texts that occur
// in this API; a number too large becomes an infinity.
func ParseFloat(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "xX_pP") { // forms of Go that are not JSON's
		return 0, fmt.Errorf("%q is not a number", s)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return v, nil
}

// Tag is a key with a text value: a run tag, an experiment tag, or a tag on a
// dataset input.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Param is a parameter of a run. A server never lets its value change.
type Param struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Metric is one point of a metric. Timestamp is in milliseconds since 1970.
type Metric struct {
	Key       string `json:"key"`
	Value     Float  `json:"value"`
	Timestamp Int    `json:"timestamp"`
	Step      Int    `json:"step"`
}

// Dataset describes data that a run used. Source is JSON text by convention.
type Dataset struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
}

// DatasetInput ties a dataset to a run.
type DatasetInput struct {
	Tags    []Tag   `json:"tags,omitempty"`
	Dataset Dataset `json:"dataset"`
}

// Experiment is a named group of runs.
type Experiment struct {
	ID               string `json:"experiment_id"`
	Name             string `json:"name"`
	ArtifactLocation string `json:"artifact_location,omitempty"`
	LifecycleStage   string `json:"lifecycle_stage"`
	LastUpdateTime   Int    `json:"last_update_time,omitempty"`
	CreationTime     Int    `json:"creation_time,omitempty"`
	Tags             []Tag  `json:"tags,omitempty"`
	Workspace        string `json:"workspace,omitempty"`
}

// RunInfo is what a run is apart from what was logged to it. Times are in
// milliseconds since 1970; nil means "not set".
type RunInfo struct {
	RunUUID        string `json:"run_uuid"`
	ExperimentID   string `json:"experiment_id"`
	RunName        string `json:"run_name"`
	UserID         string `json:"user_id"`
	Status         string `json:"status"`
	StartTime      *Int   `json:"start_time,omitempty"`
	EndTime        *Int   `json:"end_time,omitempty"`
	ArtifactURI    string `json:"artifact_uri"`
	LifecycleStage string `json:"lifecycle_stage"`
	RunID          string `json:"run_id"`
}

// RunData holds the newest point of each metric, the parameters and the tags.
type RunData struct {
	Metrics []Metric `json:"metrics,omitempty"`
	Params  []Param  `json:"params,omitempty"`
	Tags    []Tag    `json:"tags,omitempty"`
}

// RunInputs lists the datasets and logged models that a run used.
type RunInputs struct {
	DatasetInputs []DatasetInput `json:"dataset_inputs,omitempty"`
	ModelInputs   []ModelInput   `json:"model_inputs,omitempty"`
}

// Run is a whole run. Outputs is written by runs/get and runs/search, be it
// empty, and left out by runs/create.
type Run struct {
	Info    RunInfo    `json:"info"`
	Data    RunData    `json:"data"`
	Inputs  RunInputs  `json:"inputs"`
	Outputs *RunOutput `json:"outputs,omitempty"`
}

// RunOutput lists the logged models that a run made.
type RunOutput struct {
	ModelOutputs []ModelOutput `json:"model_outputs,omitempty"`
}

// FileInfo is an entry of an artifact listing. Size is nil for a folder.
type FileInfo struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  *Int   `json:"file_size,omitempty"`
}

// Error is the body of a refused request.
type Error struct {
	Code       string `json:"error_code"`
	Message    string `json:"message"`
	SQLState   string `json:"sqlstate,omitempty"`
	ErrorClass string `json:"error_class,omitempty"`
}

// Marshal encodes v without escaping <, > and & (Go escapes them, MLflow does
// not) and without a trailing newline.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
