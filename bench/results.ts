/** The results of a run, and the file that keeps them: `results/latest.json` has those of the last run on all Nodes. */

import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { resolve } from 'node:path'
import type { Figure, Figures } from './rig.ts'

export interface NodeResult {
  readonly node: string
  readonly v8: string
  /** One-minute load averages of the machine when its processes started. */
  readonly load: string
  readonly processes: number
  readonly times: Figures
}

export interface Results {
  readonly date: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string }
  /** The versions of the peers. */
  readonly peers: string
  readonly nodes: readonly NodeResult[]
}

const FILE = resolve(import.meta.dirname, 'results/latest.json')

export function resultsOf(nodes: readonly NodeResult[], peers: string): Results {
  const processors = cpus()
  const machine = { cpu: processors[0]?.model ?? 'an unknown CPU', cores: processors.length, kernel: release() }
  return { date: new Date().toISOString(), machine, peers, nodes }
}

export function readResults(): Results {
  return JSON.parse(readFileSync(FILE, 'utf8'))
}

export function writeResults(results: Results): void {
  writeFileSync(FILE, `${JSON.stringify(results, null, 2)}\n`)
}

/** The best of the minima and the middle one of the medians, of the processes that have the row. */
export function merge(processes: readonly Figures[]): Figures {
  const merged: Record<string, Figure> = {}
  for (const name of new Set(processes.flatMap(Object.keys))) {
    const times = processes.flatMap((process) => process[name] ?? [])
    const medians = times.map(({ median }) => median).toSorted((a, b) => a - b)
    merged[name] = { min: Math.min(...times.map(({ min }) => min)), median: medians[medians.length >> 1]! }
  }
  return merged
}

export function currentLoad(): string {
  return loadavg()[0]!.toFixed(1)
}
