// What every consumer does. Some functions have names of the package's own functions, and must be seen all the same.

/** Returns 'ok'; throws where greenlets are not as they should be. */
export async function body({ Greenlet, runtimeInfo, sleep, spawn, version, wait }, equal) {
  equal(runtimeInfo().reason, undefined)
  equal(/^\d+\.\d+\.\d+/.test(version), true)

  // Methods, because minifiers do not rename or inline them.
  const functions = {
    begin(value) {
      return functions.entry(value)
    },
    entry(value) {
      return [value].map(functions.acquire)
    },
    acquire(item) {
      return Greenlet.main.switch(item + 1)
    },
    launch(gate) {
      return functions.block(gate)
    },
    block(gate) {
      sleep(1)
      return wait(gate) + 1
    },
  }
  const { begin } = functions
  const parked = new Greenlet(begin)
  equal(parked.switch(1), 2)
  equal(names(parked), 'acquire,map,entry,begin')
  equal(String(parked.switch(3)), '3')

  let open
  const gate = new Promise((resolve) => (open = resolve))
  const waiting = spawn(functions.launch, gate)
  // After the immediate that starts it. It sleeps or waits by then: both look the same.
  await new Promise((resolve) => setImmediate(resolve))
  equal(names(waiting), 'block,launch')
  open(4)
  equal(await waiting, 5)

  const [one, two] = [new Greenlet(begin), new Greenlet(begin)]
  one.switch(1)
  two.switch(2)
  one.kill()
  equal(one.dead && !two.dead, true)
  return 'ok'
}

function names({ gr_stack: frames }) {
  return frames.map(({ functionName }) => functionName).join()
}
