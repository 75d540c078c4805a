// Package usage measures what the processes of a stage and the machine they run
// on use, under the names that MLflow gives to its system metrics (MLflow
// 3.17.2), so that its pages of system metrics show them.
package usage

import (
	"bytes"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// Value is one measured value.
type Value struct {
	Key   string // "system/cpu_utilization_percentage"
	Value float64
}

const megabyte = 1e6

// Meter measures. CPU and traffic are those since the last measurement and since
// the first one; so one Meter serves one run. It is not safe for concurrent use.
type Meter struct {
	dir  string // on the file system that is measured
	cpus int
	smi  string // the program nvidia-smi; "" where there is none

	last     time.Time
	cpu      map[int32]float64 // seconds, by process
	io       map[int32]traffic
	moved    traffic // by all processes so far
	sent     uint64  // by the machine when the meter was made
	received uint64
}

type traffic struct{ read, written uint64 }

// NewMeter begins to measure. dir is a folder on the file system of interest,
// cpus the number of processors that 100 % stand for.
func NewMeter(ctx context.Context, dir string, cpus int, now time.Time) *Meter {
	m := &Meter{dir: dir, cpus: max(cpus, 1), last: now, cpu: map[int32]float64{}, io: map[int32]traffic{}}
	m.smi, _ = exec.LookPath("nvidia-smi")
	if all, err := net.IOCountersWithContext(ctx, false); err == nil && len(all) > 0 {
		m.sent, m.received = all[0].BytesSent, all[0].BytesRecv
	}
	return m
}

// Measure gives the values of now. leaders are the processes that stages were
// started as: memory, processor time and bytes read and written are those of
// their process groups together. Disk space, network and GPUs are the machine's,
// as the system does not tell whose they are. What cannot be measured is left
// out.
func (m *Meter) Measure(ctx context.Context, leaders []int, now time.Time) []Value {
	values := m.group(ctx, leaders, now)
	add := func(key string, v float64) { values = append(values, Value{"system/" + key, v}) }
	if d, err := disk.UsageWithContext(ctx, m.dir); err == nil {
		add("disk_usage_percentage", d.UsedPercent)
		add("disk_usage_megabytes", float64(d.Used)/megabyte)
		add("disk_available_megabytes", float64(d.Free)/megabyte)
	}
	if all, err := net.IOCountersWithContext(ctx, false); err == nil && len(all) > 0 {
		add("network_receive_megabytes", float64(all[0].BytesRecv-min(m.received, all[0].BytesRecv))/megabyte)
		add("network_transmit_megabytes", float64(all[0].BytesSent-min(m.sent, all[0].BytesSent))/megabyte)
	}
	return append(values, m.gpus(ctx)...)
}

// group measures the processes of some groups.
func (m *Meter) group(ctx context.Context, leaders []int, now time.Time) []Value {
	var rss uint64
	var busy float64
	cpu, io := map[int32]float64{}, map[int32]traffic{}
	for _, pid := range members(ctx, leaders) {
		p := &process.Process{Pid: pid}
		if info, err := p.MemoryInfoWithContext(ctx); err == nil {
			rss += info.RSS
		}
		if t, err := p.TimesWithContext(ctx); err == nil {
			cpu[pid] = t.User + t.System
			busy += max(0, cpu[pid]-m.cpu[pid])
		}
		if c, err := p.IOCountersWithContext(ctx); err == nil {
			io[pid] = traffic{c.ReadBytes, c.WriteBytes}
			before := m.io[pid]
			m.moved.read += c.ReadBytes - min(before.read, c.ReadBytes)
			m.moved.written += c.WriteBytes - min(before.written, c.WriteBytes)
		}
	}
	took := now.Sub(m.last).Seconds()
	m.last, m.cpu, m.io = now, cpu, io
	values := []Value{{"system/system_memory_usage_megabytes", float64(rss) / megabyte}}
	if took > 0 {
		values = append(values, Value{"system/cpu_utilization_percentage", 100 * busy / took / float64(m.cpus)})
	}
	if all, err := mem.VirtualMemoryWithContext(ctx); err == nil && all.Total > 0 {
		values = append(values, Value{"system/system_memory_usage_percentage", 100 * float64(rss) / float64(all.Total)})
	}
	return append(values,
		Value{"system/disk_read_megabytes", float64(m.moved.read) / megabyte},
		Value{"system/disk_write_megabytes", float64(m.moved.written) / megabyte})
}

// gpuTime is how long nvidia-smi may take; it hangs where a driver does.
const gpuTime = 5 * time.Second

func (m *Meter) gpus(ctx context.Context) []Value {
	if m.smi == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gpuTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.smi, "--query-gpu=index,utilization.gpu,memory.used,memory.total,power.draw,power.limit", "--format=csv,noheader,nounits")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return parseGPUs(out)
}

// parseGPUs reads lines of index, utilisation in percent, memory used and in all
// in MiB, power drawn and its limit in watts; what a GPU does not tell is
// "[N/A]" and left out.
func parseGPUs(out []byte) []Value {
	var values []Value
	for line := range bytes.Lines(out) {
		cells := strings.Split(string(line), ",")
		if len(cells) != 6 {
			continue
		}
		var n [6]float64
		var known [6]bool
		for i, c := range cells {
			v, err := strconv.ParseFloat(strings.TrimSpace(c), 64)
			n[i], known[i] = v, err == nil
		}
		if !known[0] {
			continue
		}
		add := func(key string, v float64, needs ...int) {
			for _, i := range needs {
				if !known[i] || i == 3 && n[i] == 0 || i == 5 && n[i] == 0 {
					return
				}
			}
			values = append(values, Value{"system/gpu_" + strconv.Itoa(int(n[0])) + "_" + key, v})
		}
		const mebibyte = 1 << 20
		add("utilization_percentage", n[1], 1)
		add("memory_usage_megabytes", n[2]*mebibyte/megabyte, 2)
		add("memory_usage_percentage", 100*n[2]/n[3], 2, 3)
		add("power_usage_watts", n[4], 4)
		add("power_usage_percentage", 100*n[4]/n[5], 4, 5)
	}
	return values
}
