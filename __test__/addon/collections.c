// A native add-on that collects all garbage in a callback of the collector. V8 does this by itself if a callback allocates too much.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*GcCallback)(void *isolate, int type, int flags, void *data);
typedef void (*Add)(void *isolate, GcCallback, void *data, int types);
typedef void (*Collect)(void *isolate);
typedef void (*CollectKind)(void *isolate, int kind);

enum { kScavenge = 1, kIncrementalMarking = 8 };
enum { kNone, kModerate };

static int left, collections;
static bool young;

static void collect(void *isolate, int type, int flags, void *data) {
  static Collect low_memory;
  if (left == 0) return;
  left--;
  if (low_memory == NULL) low_memory = (Collect)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21LowMemoryNotificationEv");
  collections++;
  if (young) {
    static CollectKind minor;
    if (minor == NULL)
      minor = (CollectKind)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate34RequestGarbageCollectionForTestingENS0_21GarbageCollectionTypeE");
    minor(isolate, 1);
  } else {
    low_memory(isolate);
  }
}

// collecting(when, young): registers a callback before (0) or after (1) scavenges, which collects all garbage, or, where `young` is
// true, all young garbage. That needs --expose-gc. It does nothing before `allow` is called.
static napi_value collecting(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2];
  int32_t when;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  napi_get_value_int32(env, values[0], &when);
  napi_get_value_bool(env, values[1], &young);
  void *(*current)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  Add add = (Add)dlsym(RTLD_DEFAULT, when == 0
    ? "_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_"
    : "_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_");
  add(current(), collect, &collections, kScavenge);
  return NULL;
}

// allow(count): the next `count` calls of the callback collect.
static napi_value allow(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value;
  napi_get_cb_info(env, info, &count, &value, NULL, NULL);
  napi_get_value_int32(env, value, &left);
  return NULL;
}

// collections(): how often it has collected.
static napi_value count_collections(napi_env env, napi_callback_info info) {
  napi_value result;
  napi_create_int32(env, collections, &result);
  return result;
}

static napi_env marking_env;
static napi_ref marking_fn;

static void before_marking(void *isolate, int type, int flags, void *data) {
  if (marking_fn == NULL) return;
  napi_ref reference = marking_fn;
  marking_fn = NULL;
  collections++;
  ((CollectKind)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate34RequestGarbageCollectionForTestingENS0_21GarbageCollectionTypeE"))(isolate, 1);
  napi_handle_scope scope;
  napi_value fn, receiver;
  napi_open_handle_scope(marking_env, &scope);
  napi_get_reference_value(marking_env, reference, &fn);
  napi_get_undefined(marking_env, &receiver);
  napi_call_function(marking_env, receiver, fn, 0, NULL, NULL);
  napi_delete_reference(marking_env, reference);
  napi_close_handle_scope(marking_env, scope);
}

// marking(fn): V8 begins to mark step by step. In its callback before that, collects young garbage and then calls fn. Needs --expose-gc.
static napi_value marking(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value fn;
  napi_get_cb_info(env, info, &count, &fn, NULL, NULL);
  napi_create_reference(env, fn, 1, &marking_fn);
  marking_env = env;
  void *isolate = ((void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv"))();
  Add add = (Add)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_");
  add(isolate, before_marking, &marking_fn, kIncrementalMarking);
  CollectKind press = (CollectKind)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate26MemoryPressureNotificationENS_19MemoryPressureLevelE");
  press(isolate, kModerate);
  press(isolate, kNone);
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "collecting", NAPI_AUTO_LENGTH, collecting, NULL, &function);
  napi_set_named_property(env, exports, "collecting", function);
  napi_create_function(env, "collections", NAPI_AUTO_LENGTH, count_collections, NULL, &function);
  napi_set_named_property(env, exports, "collections", function);
  napi_create_function(env, "allow", NAPI_AUTO_LENGTH, allow, NULL, &function);
  napi_set_named_property(env, exports, "allow", function);
  napi_create_function(env, "marking", NAPI_AUTO_LENGTH, marking, NULL, &function);
  napi_set_named_property(env, exports, "marking", function);
  return exports;
}
