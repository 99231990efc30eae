/**
 * `node --import greenlets/dump-on-signal app.js`: the process prints a dump of all its threads when it gets `SIGUSR2`. It keeps
 * no process alive.
 */

import { isMainThread } from 'node:worker_threads'
import { installDumpSignal } from './dump.ts'

// A Worker runs the preloads too, and gets no signals.
if (isMainThread) installDumpSignal('SIGUSR2')
