// What every consumer does. Some functions have names of the package's own functions, and must be seen all the same.

/** Returns 'ok'; throws where greenlets are not as they should be. */
export async function body({ Greenlet, runtimeInfo, sleep, spawn, version, wait }, equal) {
  equal(runtimeInfo().reason, undefined)
  equal(/^\d+\.\d+\.\d+/.test(version), true)

  function entry(value) {
    return [value].map(function acquire(item) {
      return Greenlet.main.switch(item + 1)
    })
  }
  function begin(value) {
    return entry(value)
  }
  const parked = new Greenlet(begin)
  equal(parked.switch(1), 2)
  equal(names(parked), 'acquire,map,entry,begin')
  equal(String(parked.switch(3)), '3')

  let open
  const gate = new Promise((resolve) => (open = resolve))
  const waiting = spawn(function launch() {
    return (function block() {
      sleep(1)
      return wait(gate) + 1
    })()
  })
  // It sleeps or waits by now: both look the same.
  await new Promise((resolve) => setTimeout(resolve, 5))
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
