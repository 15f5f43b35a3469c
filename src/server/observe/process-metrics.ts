import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MetricName } from './metric-catalogue.ts';

const RESOLUTION_MS = 20;

export interface ProcessMetrics {
  /** Values of the process now; the delays of the event loop are those since the last reading. */
  read(): readonly (readonly [MetricName, number])[];
  close(): void;
}

/** Watches this process: CPU, memory, descriptors, event loop. */
export function watchProcess(): ProcessMetrics {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const startedAtSeconds = Date.now() / 1_000 - process.uptime();

  // The histogram holds the time between two ticks of its timer; what is beyond the timer's own period is delay.
  function lagSeconds(nanoseconds: number): number {
    return Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1_000) : 0;
  }

  return {
    read() {
      const cpu = process.cpuUsage();
      const memory = process.memoryUsage();
      const openFiles = countOpenFiles();
      const values: (readonly [MetricName, number])[] = [
        ['process_cpu_user_seconds_total', cpu.user / 1e6],
        ['process_cpu_system_seconds_total', cpu.system / 1e6],
        ['process_cpu_seconds_total', (cpu.user + cpu.system) / 1e6],
        ['process_start_time_seconds', startedAtSeconds],
        ['process_resident_memory_bytes', memory.rss],
        ['nodejs_heap_size_used_bytes', memory.heapUsed],
        ['nodejs_heap_size_total_bytes', memory.heapTotal],
        ['nodejs_external_memory_bytes', memory.external],
        ['nodejs_eventloop_lag_mean_seconds', lagSeconds(delay.mean)],
        ['nodejs_eventloop_lag_p50_seconds', lagSeconds(delay.percentile(50))],
        ['nodejs_eventloop_lag_p99_seconds', lagSeconds(delay.percentile(99))],
        ['nodejs_eventloop_lag_max_seconds', lagSeconds(delay.max)],
      ];
      delay.reset();
      if (openFiles !== null) values.push(['process_open_fds', openFiles]);
      return values;
    },
    close() {
      delay.disable();
    },
  };
}

function countOpenFiles(): number | null {
  if (process.platform !== 'linux') return null;
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return null;
  }
}
