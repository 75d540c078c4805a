package experiment

import "testing"

func TestRedactText(t *testing.T) {
	env := func(k string) string { return map[string]string{"MLFLOW_TRACKING_TOKEN": "t0psecret"}[k] }
	for in, want := range map[string]string{
		"epoch 1 loss 0.5\n":                                "epoch 1 loss 0.5\n",
		"sent t0psecret along":                              "sent *** along",
		"get https://user:pw@host/x":                        "get https://***@host/x",
		"AWS_SECRET_ACCESS_KEY=abc/def+1 next":              "AWS_SECRET_ACCESS_KEY=*** next",
		`{"password": "hunter2", "user": "me"}`:             `{"password": "***", "user": "me"}`,
		"tokens per second: 12 tokenizer=bpe, n_tokens: 33": "tokens per second: 12 tokenizer=bpe, n_tokens: 33",
		"HF_TOKEN=hf_abcdefghijkl, pad_token=<pad>":         "HF_TOKEN=***, pad_token=<pad>",
	} {
		if got := string(redactText([]byte(in), env)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
