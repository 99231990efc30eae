// The code that the example suites test. It knows nothing of greenlets.

class Store {
  #lock
  #rows = []

  constructor(lock) {
    this.#lock = lock
  }

  /** Adds all rows, or none of them. */
  addAll(rows) {
    return this.#withLock(() => {
      const before = this.#rows.length
      try {
        for (const row of rows) this.#rows.push(row.trim())
        return this.#rows.length - before
      } catch (error) {
        this.#rows.length = before
        throw error
      }
    })
  }

  get size() {
    return this.#rows.length
  }

  #withLock(fn) {
    this.#lock.acquire()
    try {
      return fn()
    } finally {
      this.#lock.release()
    }
  }
}

module.exports = { Store }
