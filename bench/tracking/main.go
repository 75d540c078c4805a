// Command tracking times `ctrx server` against `mlflow server --workers 1`, call
// by call, on one keep-alive connection each, and prints a Markdown table of
// medians with their ratios, then start-up, memory, and searches over many runs
// in one file that both serve.
//
//	go run ./bench/tracking [-runs N] [-many N]
//
// mlflow must be on PATH.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/bench/internal/warm"
)

func main() {
	runs := flag.Int("runs", 1000, "runs with 20 parameters and 10 metrics each")
	many := flag.Int("many", 100_000, "runs in the file of the searches; 0 leaves them out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *runs, *many); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// contender is a running server with the times of its calls.
type contender struct {
	name  string
	url   string
	cmd   *exec.Cmd
	ready time.Duration // from start to the first answer
	times map[string][]time.Duration
}

func run(ctx context.Context, runs, many int) error {
	tmp, err := os.MkdirTemp("", "ctrx-bench-tracking")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	program := filepath.Join(tmp, "program")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/ctrx").CombinedOutput(); err != nil {
		return fmt.Errorf("build ctrx: %w\n%s", err, out)
	}
	if err := calls(ctx, program, tmp, runs); err != nil || many == 0 {
		return err
	}
	return searches(ctx, program, filepath.Join(tmp, "many"), many)
}

// calls measures call by call, one server after the other.
func calls(ctx context.Context, program, tmp string, runs int) error {
	var both []*contender
	for _, name := range []string{"ctrx", "mlflow"} {
		c, err := start(ctx, name, program, filepath.Join(tmp, name))
		if err != nil {
			return err
		}
		defer c.stop()
		if err := c.measure(ctx, runs); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		both = append(both, c)
	}
	table(both)
	fmt.Printf("\nstart to ready: ctrx %v, mlflow %v; resident after the bench: ctrx %s, mlflow %s\n",
		both[0].ready.Round(time.Millisecond), both[1].ready.Round(time.Millisecond), both[0].memory(), both[1].memory())
	return nil
}

// start runs a server in a folder of its own and waits until it answers.
func start(ctx context.Context, name, program, dir string) (*contender, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return nil, err
	}
	args := []string{"server", "--host", "127.0.0.1", "--port", port, "--backend-store-uri", "sqlite:///" + filepath.ToSlash(filepath.Join(dir, "mlflow.db")),
		"--artifacts-destination", filepath.Join(dir, "mlartifacts")}
	if name == "mlflow" {
		program, args = "mlflow", append(args, "--workers", "1")
	}
	c := &contender{name: name, url: "http://127.0.0.1:" + port, times: map[string][]time.Duration{}}
	c.cmd = exec.CommandContext(ctx, program, args...)
	c.cmd.Dir = dir
	c.cmd.Env = append(os.Environ(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "MLFLOW_DISABLE_TELEMETRY=true")
	begin := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for {
		resp, err := http.Get(c.url + "/health")
		if err == nil {
			resp.Body.Close()
			c.ready = time.Since(begin)
			return c, nil
		}
		if time.Since(begin) > 2*time.Minute || ctx.Err() != nil {
			c.stop()
			return nil, fmt.Errorf("%s does not start: %w", name, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// stop ends the server. Ending it twice does no harm.
func (c *contender) stop() {
	_ = c.cmd.Process.Signal(os.Interrupt)
	_ = c.cmd.Wait()
}

// memory adds up what the server and its children hold.
func (c *contender) memory() string {
	out, err := exec.Command("ps", "-eo", "pid=,ppid=,rss=").Output()
	if err != nil {
		return "?"
	}
	total, known := 0, map[int]bool{c.cmd.Process.Pid: true}
	for range 3 { // children come after their parents, but for wrapped pids
		total = 0
		for _, line := range strings.Split(string(out), "\n") {
			var pid, parent, rss int
			if n, _ := fmt.Sscan(line, &pid, &parent, &rss); n == 3 && (known[pid] || known[parent]) {
				known[pid] = true
				total += rss
			}
		}
	}
	return fmt.Sprintf("%d MB", total/1024)
}

// call sends one request and, under a row, notes its time.
func (c *contender) call(ctx context.Context, row, method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/api/2.0/mlflow/"+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if row != "" {
		c.times[row] = append(c.times[row], time.Since(begin))
	}
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %.300s", method, path, resp.Status, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

type object = map[string]any

func (c *contender) measure(ctx context.Context, runs int) error {
	var experiment struct {
		ID string `json:"experiment_id"`
	}
	if err := c.call(ctx, "", "POST", "experiments/create", object{"name": "bench"}, &experiment); err != nil {
		return err
	}
	const now = 1_700_000_000_000
	var ids []string
	for i := range runs {
		var created struct {
			Run struct {
				Info struct {
					ID string `json:"run_id"`
				} `json:"info"`
			} `json:"run"`
		}
		if err := c.call(ctx, "runs/create", "POST", "runs/create", object{"experiment_id": experiment.ID, "start_time": now + i, "run_name": fmt.Sprint("r", i)}, &created); err != nil {
			return err
		}
		id := created.Run.Info.ID
		ids = append(ids, id)
		var params, metrics []object
		for k := range 20 {
			params = append(params, object{"key": fmt.Sprint("p", k), "value": fmt.Sprint((i*31 + k) % 97)})
		}
		for k := range 10 {
			metrics = append(metrics, object{"key": fmt.Sprint("m", k), "value": float64((i*17+k)%1000) / 1000, "timestamp": now, "step": 0})
		}
		if err := c.call(ctx, "log-batch, 20 params + 10 metrics", "POST", "runs/log-batch", object{"run_id": id, "params": params, "metrics": metrics}, nil); err != nil {
			return err
		}
		if err := c.call(ctx, "runs/update", "POST", "runs/update", object{"run_id": id, "status": "FINISHED", "end_time": now + i}, nil); err != nil {
			return err
		}
	}
	for k := range 10 {
		var one, each []object
		for j := range 1000 {
			one = append(one, object{"key": "loss", "value": float64(j), "timestamp": now + j, "step": k*1000 + j})
			each = append(each, object{"key": fmt.Sprintf("k%d_%d", k, j), "value": float64(j), "timestamp": now + j, "step": 0})
		}
		if err := c.call(ctx, "log-batch, 1000 points of one key", "POST", "runs/log-batch", object{"run_id": ids[0], "metrics": one}, nil); err != nil {
			return err
		}
		if k < 5 {
			if err := c.call(ctx, "log-batch, 1000 keys", "POST", "runs/log-batch", object{"run_id": ids[1], "metrics": each}, nil); err != nil {
				return err
			}
		}
	}
	for j := range 100 {
		if err := c.call(ctx, "log-metric", "POST", "runs/log-metric", object{"run_id": ids[2], "key": "acc", "value": 1, "timestamp": now, "step": j}, nil); err != nil {
			return err
		}
		if err := c.call(ctx, "runs/get", "GET", "runs/get?run_id="+ids[3+j%(len(ids)-3)], nil, nil); err != nil {
			return err
		}
	}
	for range 5 {
		for row, q := range map[string]object{
			fmt.Sprintf("search, %d full runs", runs): {"max_results": runs},
			"search, two clauses, by metric, 100":     {"max_results": 100, "filter": "metrics.m0 > 0.5 and params.p1 != 'x'", "order_by": []string{"metrics.m1 DESC"}},
		} {
			q["experiment_ids"] = []string{experiment.ID}
			if err := c.call(ctx, row, "POST", "runs/search", q, nil); err != nil {
				return err
			}
		}
		if err := c.call(ctx, "get-history, 10000 points", "GET", "metrics/get-history?metric_key=loss&run_id="+ids[0], nil, nil); err != nil {
			return err
		}
	}
	return c.upload(ctx, experiment.ID, ids[0])
}

// upload times an artifact of 200 MB, as bytes that no disk compresses.
func (c *contender) upload(ctx context.Context, experiment, run string) error {
	data := make([]byte, 200_000_000)
	var seed [32]byte
	if _, err := rand.NewChaCha8(seed).Read(data); err != nil {
		return err
	}
	for range 3 {
		if err := warm.Memory("", len(data)>>20*3); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, "PUT", c.url+"/api/2.0/mlflow-artifacts/artifacts/"+experiment+"/"+run+"/artifacts/big.bin", bytes.NewReader(data))
		if err != nil {
			return err
		}
		begin := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("upload: %s", resp.Status)
		}
		c.times["artifact of 200 MB"] = append(c.times["artifact of 200 MB"], time.Since(begin))
	}
	return nil
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// table prints the medians of two servers and their ratios.
func table(both []*contender) {
	fmt.Println("| call | ctrx, ms | mlflow, ms | mlflow / ctrx |\n|---|---|---|---|")
	rows := make([]string, 0, len(both[0].times))
	for row := range both[0].times {
		rows = append(rows, row)
	}
	slices.Sort(rows)
	for _, row := range rows {
		own, other := median(both[0].times[row]), median(both[1].times[row])
		fmt.Printf("| %s | %.2f | %.2f | %.1f |\n", row, own.Seconds()*1e3, other.Seconds()*1e3, float64(other)/float64(own))
	}
}

// searches fills one file with many runs and lets first ctrx and then MLflow,
// which migrates it, search it.
func searches(ctx context.Context, program, dir string, many int) error {
	own, err := start(ctx, "ctrx", program, dir)
	if err != nil {
		return err
	}
	defer own.stop()
	const batch = 50
	for i := 0; i < many; i += batch {
		if err := own.fill(ctx, i, min(batch, many-i)); err != nil {
			return err
		}
	}
	queries := map[string]object{
		"no filter":                 {},
		"metric > median":           {"filter": "metrics.m0 > 0.5"},
		"metric and parameter":      {"filter": "metrics.m0 > 0.5 and params.p1 = '7'"},
		"metric, one of a thousand": {"filter": "metrics.m0 > 0.999"},
		"metric, by another metric": {"filter": "metrics.m0 > 0.5", "order_by": []string{"metrics.m1 DESC"}},
		"name LIKE":                 {"filter": "attributes.run_name LIKE 'r9%'"},
		"three rare parameters":     {"filter": "params.p1 = '7' and params.p2 = '8' and params.p3 = '9'"},
		"parameter LIKE, none":      {"filter": "params.p1 LIKE '%z%'"},
		"parameter, by metric":      {"filter": "params.p3 = '8'", "order_by": []string{"metrics.m1 DESC"}},
		"metric in a narrow range":  {"filter": "metrics.m0 > 0.5 and metrics.m0 < 0.501"},
		"oldest first":              {"order_by": []string{"attributes.start_time ASC"}},
	}
	var both []*contender
	ask := func(c *contender, rounds int) error {
		for range rounds {
			for row, q := range queries {
				q["experiment_ids"], q["max_results"] = []string{"0"}, 100
				if err := c.call(ctx, row, "POST", "runs/search", q, nil); err != nil {
					return err
				}
			}
		}
		c.stop()
		both = append(both, c)
		return nil
	}
	if err := ask(own, 3); err != nil {
		return err
	}
	other, err := start(ctx, "mlflow", program, dir)
	if err != nil {
		return err
	}
	defer other.stop()
	if err := ask(other, 1); err != nil { // minutes each
		return err
	}
	fmt.Printf("\nSearch in a file of %d runs, a page of 100:\n\n", many)
	table(both)
	return nil
}

// fill logs n runs, the first with number from.
func (c *contender) fill(ctx context.Context, from, n int) error {
	for i := from; i < from+n; i++ {
		var created struct {
			Run struct {
				Info struct {
					ID string `json:"run_id"`
				} `json:"info"`
			} `json:"run"`
		}
		if err := c.call(ctx, "", "POST", "runs/create", object{"experiment_id": "0", "start_time": 1_700_000_000_000 + i, "run_name": fmt.Sprint("r", i)}, &created); err != nil {
			return err
		}
		var params, metrics []object
		for k := range 20 {
			params = append(params, object{"key": fmt.Sprint("p", k), "value": fmt.Sprint(i * (k + 7) % 97)})
		}
		for k := range 10 {
			metrics = append(metrics, object{"key": fmt.Sprint("m", k), "value": float64(i*(k+7919)%100_003) / 100_003, "timestamp": 1_700_000_000_000, "step": 0})
		}
		if err := c.call(ctx, "", "POST", "runs/log-batch", object{"run_id": created.Run.Info.ID, "params": params, "metrics": metrics}, nil); err != nil {
			return err
		}
	}
	return nil
}
