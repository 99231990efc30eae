// A native add-on that calls JavaScript at difficult moments: with scopes open, from a finalizer, from a callback of the
// garbage collector. The tests build it with the headers of the npm package node-api-headers.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <node_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static napi_value call(napi_env env, napi_value fn) {
  napi_value undefined, result = NULL;
  napi_get_undefined(env, &undefined);
  napi_call_function(env, undefined, fn, 0, NULL, &result);
  return result;
}

static napi_value argument(napi_env env, napi_callback_info info, size_t index) {
  size_t count = 4;
  napi_value values[4];
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  return values[index];
}

static napi_value no_scope(napi_env env, napi_callback_info info) { return call(env, argument(env, info, 0)); }

// Two nested handle scopes around the call.
static napi_value handle_scopes(napi_env env, napi_callback_info info) {
  napi_handle_scope outer, inner;
  napi_value fn = argument(env, info, 0), before, after;
  napi_open_handle_scope(env, &outer);
  napi_create_string_utf8(env, "before", NAPI_AUTO_LENGTH, &before);
  napi_open_handle_scope(env, &inner);
  call(env, fn);
  napi_create_string_utf8(env, "after", NAPI_AUTO_LENGTH, &after);
  napi_close_handle_scope(env, inner);
  bool same;
  napi_strict_equals(env, before, before, &same);
  napi_close_handle_scope(env, outer);
  napi_value result;
  napi_get_boolean(env, same, &result);
  return result;
}

// The result of the call leaves the scope.
static napi_value escapable(napi_env env, napi_callback_info info) {
  napi_escapable_handle_scope scope;
  napi_value fn = argument(env, info, 0), escaped = NULL;
  napi_open_escapable_handle_scope(env, &scope);
  napi_value result = call(env, fn);
  if (result != NULL) napi_escape_handle(env, scope, result, &escaped);
  napi_close_escapable_handle_scope(env, scope);
  return escaped;
}

static napi_value callback_scope(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info, 0), name, resource;
  napi_async_context context;
  napi_callback_scope scope;
  napi_create_object(env, &resource);
  napi_create_string_utf8(env, "addon", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &context);
  napi_open_callback_scope(env, resource, context, &scope);
  napi_value result = call(env, fn);
  napi_close_callback_scope(env, scope);
  napi_async_destroy(env, context);
  return result;
}

static napi_value make_callback(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info, 0), name, resource, result = NULL;
  napi_async_context context;
  napi_create_object(env, &resource);
  napi_create_string_utf8(env, "addon", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &context);
  napi_make_callback(env, context, resource, fn, 0, NULL, &result);
  napi_async_destroy(env, context);
  return result;
}

// finalized(object, fn): calls fn when the object has been collected.
static void finalize(napi_env env, void *data, void *hint) {
  napi_ref reference = data;
  napi_value fn;
  napi_get_reference_value(env, reference, &fn);
  call(env, fn);
  napi_delete_reference(env, reference);
}

static napi_value finalized(napi_env env, napi_callback_info info) {
  napi_ref reference;
  napi_create_reference(env, argument(env, info, 1), 1, &reference);
  napi_add_finalizer(env, argument(env, info, 0), reference, finalize, NULL, NULL);
  return NULL;
}

// collecting(when, fn): calls fn in the next prologue (0) or epilogue (1) of a collection. V8's public functions, by name.
typedef void (*GcCallback)(void *isolate, int type, int flags, void *data);
typedef void (*Add)(void *isolate, GcCallback, void *data, int types);
typedef void (*Remove)(void *isolate, GcCallback, void *data);

struct once {
  napi_env env;
  napi_ref fn;
};

static void during_collection(void *isolate, int type, int flags, void *data) {
  struct once *once = data;
  if (once->fn == NULL) return;
  napi_handle_scope scope;
  napi_value fn;
  napi_ref reference = once->fn;
  once->fn = NULL;
  napi_open_handle_scope(once->env, &scope);
  napi_get_reference_value(once->env, reference, &fn);
  call(once->env, fn);
  napi_delete_reference(once->env, reference);
  napi_close_handle_scope(once->env, scope);
}

static napi_value collecting(napi_env env, napi_callback_info info) {
  int32_t when;
  napi_get_value_int32(env, argument(env, info, 0), &when);
  struct once *once = calloc(1, sizeof *once);
  once->env = env;
  napi_create_reference(env, argument(env, info, 1), 1, &once->fn);
  void *(*current)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  Add add = (Add)dlsym(RTLD_DEFAULT, when == 0
    ? "_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_"
    : "_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_");
  add(current(), during_collection, once, 0x1f);
  return NULL;
}

// elsewhere(fn): calls fn on a stack of the add-on's own, as a coroutine library does. The memory is reserved when the add-on is
// loaded: V8 takes addresses below a stack's limit for an overflow, and the stacks of greenlets that begin later lie lower.
#define ELSEWHERE_SIZE (1 << 20)
static char *elsewhere_stack;
static struct {
  napi_env env;
  napi_value fn, result;
  ucontext_t caller, callee;
} there;

static void run_there(void) { there.result = call(there.env, there.fn); }

static napi_value elsewhere(napi_env env, napi_callback_info info) {
  there.env = env;
  there.fn = argument(env, info, 0);
  getcontext(&there.callee);
  there.callee.uc_stack.ss_sp = elsewhere_stack;
  there.callee.uc_stack.ss_size = ELSEWHERE_SIZE;
  there.callee.uc_link = &there.caller;
  makecontext(&there.callee, run_there, 0);
  swapcontext(&there.caller, &there.callee);
  return there.result;
}

// hammer(): starts a thread that requests one interrupt after another. hammered(stop): [requested, served, the slowest in
// microseconds, whether the thread still waits for one]. The thread waits for each interrupt: run JavaScript until it is
// served.
typedef void (*Interrupt)(void *isolate, void *data);
typedef void (*Request)(void *isolate, Interrupt, void *data);

static struct {
  void *isolate;
  Request request;
  atomic_long requested, served, slowest;
  atomic_bool stop, busy;
} hammer;

static long microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void serve(void *isolate, void *data) { hammer.served++; }

static void *keep_hammering(void *unused) {
  unsigned seed = 1;
  while (!hammer.stop) {
    long begin = microseconds(), expected = ++hammer.requested;
    hammer.request(hammer.isolate, serve, NULL);
    while (hammer.served < expected) usleep(10);
    long took = microseconds() - begin;
    if (took > hammer.slowest) hammer.slowest = took;
    usleep(rand_r(&seed) % 200);
  }
  hammer.busy = false;
  return NULL;
}

static napi_value start_hammer(napi_env env, napi_callback_info info) {
  void *(*current)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  hammer.request = (Request)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate16RequestInterruptEPFvPS0_PvES2_");
  hammer.isolate = current();
  hammer.requested = hammer.served = hammer.slowest = 0;
  hammer.stop = false;
  hammer.busy = true;
  pthread_t thread;
  pthread_create(&thread, NULL, keep_hammering, NULL);
  pthread_detach(thread);
  return NULL;
}

static napi_value hammered(napi_env env, napi_callback_info info) {
  bool stop;
  napi_get_value_bool(env, argument(env, info, 0), &stop);
  hammer.stop = stop;
  const long numbers[] = {hammer.requested, hammer.served, hammer.slowest, hammer.busy};
  napi_value all, number;
  napi_create_array(env, &all);
  for (int i = 0; i < 4; i++) {
    napi_create_int64(env, numbers[i], &number);
    napi_set_element(env, all, i, number);
  }
  return all;
}

NAPI_MODULE_INIT() {
  elsewhere_stack = mmap(NULL, ELSEWHERE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const napi_property_descriptor all[] = {
    {"noScope", NULL, no_scope, NULL, NULL, NULL, napi_enumerable, NULL},
    {"handleScopes", NULL, handle_scopes, NULL, NULL, NULL, napi_enumerable, NULL},
    {"escapable", NULL, escapable, NULL, NULL, NULL, napi_enumerable, NULL},
    {"callbackScope", NULL, callback_scope, NULL, NULL, NULL, napi_enumerable, NULL},
    {"makeCallback", NULL, make_callback, NULL, NULL, NULL, napi_enumerable, NULL},
    {"finalized", NULL, finalized, NULL, NULL, NULL, napi_enumerable, NULL},
    {"collecting", NULL, collecting, NULL, NULL, NULL, napi_enumerable, NULL},
    {"elsewhere", NULL, elsewhere, NULL, NULL, NULL, napi_enumerable, NULL},
    {"hammer", NULL, start_hammer, NULL, NULL, NULL, napi_enumerable, NULL},
    {"hammered", NULL, hammered, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof all / sizeof *all, all);
  return exports;
}
