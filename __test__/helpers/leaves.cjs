// A module that leaves the greenlet that loads it.
globalThis.leave()
