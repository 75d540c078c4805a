package server

import (
	"encoding/json"
	"testing"
)

// Names of fields are read in both spellings, at every depth; keys that the client
// makes up and texts are left alone.
func TestSnakeNames(t *testing.T) {
	type inner struct {
		ModelID text `json:"model_id"`
	}
	type request struct {
		ids
		Models []inner           `json:"models"`
		One    *inner            `json:"one_model"`
		Own    map[string]string `json:"own_keys"`
		Raw    json.RawMessage   `json:"raw_value"`
		Plain  string            `json:"plain"`
	}
	for in, want := range map[string]string{
		`{"run_id": "a", "plain": "x"}`:                    `{"run_id": "a", "plain": "x"}`,
		`{"runId": "a", "plain": "runId"}`:                 `{"plain":"runId","run_id":"a"}`,
		`{"models": [{"modelId": "<a>"}, {}, null]}`:       `{"models":[{"model_id":"<a>"},{},null]}`,
		`{"oneModel" : {"modelId": 1.50}}`:                 `{"one_model":{"model_id":1.50}}`,
		`{"ownKeys": {"runId": "a"}}`:                      `{"own_keys":{"runId":"a"}}`,
		`{"rawValue": {"runId": "a"}}`:                     `{"raw_value":{"runId":"a"}}`,
		`{"unknownName": 1}`:                               `{"unknownName":1}`,
		`{"runId": "a", "run_id": "b"}`:                    `Request specifies both 'run_id' and 'runId'; provide only one of them.`,
		`{"models": [{"modelId": "a", "model_id": "a"}]}`:  `Request specifies both 'model_id' and 'modelId'; provide only one of them.`,
		`{"runId": NaN}`:                                   `{"runId": NaN}`,
		`[{"runId": "a"}]`:                                 `[{"runId": "a"}]`,
		`{"plain": "says \"runId\": \"a\"", "models": []}`: `{"plain": "says \"runId\": \"a\"", "models": []}`,
	} {
		var v request
		got, err := snakeNames([]byte(in), &v)
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
}
