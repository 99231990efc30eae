/**
 * `greenlets/tools`: what greenlets coordinate themselves with.
 *
 * They use only the public API of `greenlets`. Each belongs to the thread in which it was made: what is sent to a Worker is
 * a copy without methods.
 */

export { TimeoutError } from '../engine.ts'
export { Event } from './event.ts'
export { exclusive } from './exclusive.ts'
export { group } from './group.ts'
export type { Group } from './group.ts'
export { iterate } from './iterate.ts'
export { joinAll, waitAny } from './join.ts'
export type { Results } from './join.ts'
export { Local } from './local.ts'
export { Condition, Lock } from './lock.ts'
export type { LockOptions } from './lock.ts'
export type { Limits } from './options.ts'
export { Pool } from './pool.ts'
export { Queue } from './queue.ts'
export type { QueueOptions } from './queue.ts'
export { retry } from './retry.ts'
export type { RetryOptions } from './retry.ts'
export { Semaphore } from './semaphore.ts'
export type { SemaphoreOptions } from './semaphore.ts'
export { timeout } from './timeout.ts'
