package wire

import "encoding/json"

// TraceInfo is what a server knows of a trace apart from its spans. Time is
// RFC 3339, Duration a decimal number of seconds followed by "s".
type TraceInfo struct {
	ID          string            `json:"trace_id"`
	ClientID    string            `json:"client_request_id,omitempty"`
	Location    TraceLocation     `json:"trace_location"`
	Time        string            `json:"request_time"`
	Duration    string            `json:"execution_duration,omitempty"`
	State       string            `json:"state"`
	Metadata    map[string]string `json:"trace_metadata,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Request     string            `json:"request_preview,omitempty"`
	Response    string            `json:"response_preview,omitempty"`
	Assessments []Assessment      `json:"assessments,omitempty"`
}

// TraceLocation is where a trace belongs: Type is MLFLOW_EXPERIMENT.
type TraceLocation struct {
	Type       string `json:"type"`
	Experiment struct {
		ID string `json:"experiment_id"`
	} `json:"mlflow_experiment"`
}

// Assessment is a judgement of a trace or of one of its spans: it has a
// feedback, an expectation or an issue. Times are RFC 3339.
type Assessment struct {
	ID          string            `json:"assessment_id,omitempty"`
	Name        string            `json:"assessment_name,omitempty"`
	TraceID     string            `json:"trace_id,omitempty"`
	SpanID      string            `json:"span_id,omitempty"`
	Source      *AssessmentSource `json:"source,omitempty"`
	CreateTime  string            `json:"create_time,omitempty"`
	UpdateTime  string            `json:"last_update_time,omitempty"`
	Feedback    *Feedback         `json:"feedback,omitempty"`
	Expectation *Expectation      `json:"expectation,omitempty"`
	Issue       json.RawMessage   `json:"issue,omitempty"`
	Rationale   *string           `json:"rationale,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Overrides   string            `json:"overrides,omitempty"`
	Valid       *bool             `json:"valid,omitempty"`
}

// AssessmentSource tells who judged: Type is HUMAN, LLM_JUDGE or CODE.
type AssessmentSource struct {
	Type string `json:"source_type"`
	ID   string `json:"source_id,omitempty"`
}

// Feedback is any JSON value, or the error that kept it from being made.
type Feedback struct {
	Value json.RawMessage  `json:"value,omitempty"`
	Error *AssessmentError `json:"error,omitempty"`
}

// AssessmentError tells why there is no feedback.
type AssessmentError struct {
	Code    string `json:"error_code,omitempty"`
	Message string `json:"error_message,omitempty"`
	Stack   string `json:"stack_trace,omitempty"`
}

// Expectation is any JSON value; one that is no plain value is kept as text in
// a format that Serialized names.
type Expectation struct {
	Value      json.RawMessage  `json:"value,omitempty"`
	Serialized *SerializedValue `json:"serialized_value,omitempty"`
}

// SerializedValue is a list or an object as text; Format is JSON_FORMAT.
type SerializedValue struct {
	Format string `json:"serialization_format,omitempty"`
	Value  string `json:"value"`
}
