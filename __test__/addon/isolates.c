// A native add-on that makes other isolates and enters them on the thread of Node, as isolated-vm does. V8's functions are C++; they
// are declared here by their mangled names, so that the add-on imports them as one in C++ does.

#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef void *Isolate, *Local;
typedef struct { void *function, *data; } Callback;
typedef Local NewContext(Isolate, void *, Local, Local, Callback, void *, Callback, Callback);

extern Isolate _ZN2v87Isolate10GetCurrentEv(void);
extern void _ZN2v87Isolate5EnterEv(Isolate);
extern void _ZN2v87Isolate4ExitEv(Isolate);
extern Local _ZN2v87Isolate17GetCurrentContextEv(Isolate);
extern void *_ZN4node21GetCurrentEnvironmentEN2v85LocalINS0_7ContextEEE(Local);
extern void *_ZN4node23GetMultiIsolatePlatformEPNS_11EnvironmentE(void *);
extern void *_ZN4node26CreateArrayBufferAllocatorEv(void);
extern Isolate
_ZN4node10NewIsolateEPNS_20ArrayBufferAllocatorEP9uv_loop_sPNS_20MultiIsolatePlatformEPKNS_20EmbedderSnapshotDataERKNS_15IsolateSettingsE(
    void *, void *, void *, const void *, const void *);
extern void _ZN2v811HandleScopeC1EPNS_7IsolateE(void *, Isolate) __attribute__((weak));
extern void _ZN2v87Context5EnterEv(Local);
extern void _ZN2v87Context4ExitEv(Local);
extern Local _ZN2v86String11NewFromUtf8EPNS_7IsolateEPKcNS_13NewStringTypeEi(Isolate, const char *, int, int);
extern Local _ZN2v86Script7CompileENS_5LocalINS_7ContextEEENS1_INS_6StringEEEPNS_12ScriptOriginE(Local, Local, void *);
extern Local _ZN2v86Script3RunENS_5LocalINS_7ContextEEE(Local, Local);
extern uint64_t _ZNK2v85Value10Int32ValueENS_5LocalINS_7ContextEEE(Local, Local);
extern void _ZN2v88TryCatchC1EPNS_7IsolateE(void *, Isolate);
extern void _ZN2v88TryCatchD1Ev(void *);

// Context::New has one more argument in newer versions of V8, at the end.
#define NEW_CONTEXT \
  _ZN2v87Context3NewEPNS_7IsolateEPNS_22ExtensionConfigurationENS_10MaybeLocalINS_14ObjectTemplateEEENS5_INS_5ValueEEENS_33DeserializeInternalFieldsCallbackEPNS_14MicrotaskQueueE
#define JOIN(a, b) a##b
#define NAME(a, b) JOIN(a, b)
extern NewContext NEW_CONTEXT __attribute__((weak));
extern NewContext NAME(NEW_CONTEXT, NS_30DeserializeContextDataCallbackE) __attribute__((weak));
extern NewContext NAME(NEW_CONTEXT, NS_30DeserializeContextDataCallbackENS_29DeserializeAPIWrapperCallbackE) __attribute__((weak));

static struct { Isolate isolate; Local context; } made[16];
static int count;

static void check(bool condition) {
  if (!condition) abort();
}

// make(): a new isolate with a context; returns its number. They live as long as the process.
static napi_value make(napi_env env, napi_callback_info info) {
  // node::IsolateSettings: no flags, explicit microtasks, no callbacks.
  static const uint64_t settings[32];
  void *loop, *environment = _ZN4node21GetCurrentEnvironmentEN2v85LocalINS0_7ContextEEE(
      _ZN2v87Isolate17GetCurrentContextEv(_ZN2v87Isolate10GetCurrentEv()));
  check(napi_get_uv_event_loop(env, (void *)&loop) == napi_ok);
  Isolate isolate =
      _ZN4node10NewIsolateEPNS_20ArrayBufferAllocatorEP9uv_loop_sPNS_20MultiIsolatePlatformEPKNS_20EmbedderSnapshotDataERKNS_15IsolateSettingsE(
          _ZN4node26CreateArrayBufferAllocatorEv(), loop, _ZN4node23GetMultiIsolatePlatformEPNS_11EnvironmentE(environment),
          NULL, settings);
  check(isolate != NULL && count < 16);
  _ZN2v87Isolate5EnterEv(isolate);
  // A handle scope that is never closed: the handles of the isolate stay. V8 14.6 does not export its constructor, which counts up
  // the level of scopes (kHandleScopeDataOffset, v8-internal.h; HandleScopeData, v8-handle-scope.h).
  if (_ZN2v811HandleScopeC1EPNS_7IsolateE != NULL) _ZN2v811HandleScopeC1EPNS_7IsolateE(calloc(1, 256), isolate);
  else ++*(int *)((char *)isolate + 560 + 16);
  NewContext *new_context = NEW_CONTEXT;
  if (new_context == NULL) new_context = NAME(NEW_CONTEXT, NS_30DeserializeContextDataCallbackE);
  if (new_context == NULL) new_context = NAME(NEW_CONTEXT, NS_30DeserializeContextDataCallbackENS_29DeserializeAPIWrapperCallbackE);
  check(new_context != NULL);
  Callback none = {NULL, NULL};
  made[count].isolate = isolate;
  made[count].context = new_context(isolate, NULL, NULL, NULL, none, NULL, none, none);
  check(made[count].context != NULL);
  _ZN2v87Isolate4ExitEv(isolate);
  napi_value number;
  napi_create_int32(env, count++, &number);
  return number;
}

// Runs the code in the entered isolate; returns its number, or -1 where it throws.
static int evaluate(Isolate isolate, Local context, const char *code) {
  uint64_t try_catch[32], result = 0;
  _ZN2v88TryCatchC1EPNS_7IsolateE(try_catch, isolate);
  _ZN2v87Context5EnterEv(context);
  Local script = _ZN2v86Script7CompileENS_5LocalINS_7ContextEEENS1_INS_6StringEEEPNS_12ScriptOriginE(
      context, _ZN2v86String11NewFromUtf8EPNS_7IsolateEPKcNS_13NewStringTypeEi(isolate, code, 0, -1), NULL);
  Local value = script == NULL ? NULL : _ZN2v86Script3RunENS_5LocalINS_7ContextEEE(script, context);
  // A Maybe<int32_t>: a flag, and the number.
  if (value != NULL) result = _ZNK2v85Value10Int32ValueENS_5LocalINS_7ContextEEE(value, context);
  _ZN2v87Context4ExitEv(context);
  _ZN2v88TryCatchD1Ev(try_catch);
  return (result & 1) != 0 ? (int32_t)(result >> 32) : -1;
}

// run(number, code, fn): enters the isolate, calls `fn`, if there is one, in Node's isolate, and runs the code.
static napi_value run(napi_env env, napi_callback_info info) {
  size_t length = 3;
  napi_value values[3], undefined, result = NULL;
  int32_t number;
  char code[256];
  bool pending;
  napi_valuetype type;
  napi_get_cb_info(env, info, &length, values, NULL, NULL);
  napi_get_value_int32(env, values[0], &number);
  napi_get_value_string_utf8(env, values[1], code, sizeof code, NULL);
  napi_typeof(env, values[2], &type);
  napi_get_undefined(env, &undefined);
  Isolate own = _ZN2v87Isolate10GetCurrentEv(), isolate = made[number].isolate;
  _ZN2v87Isolate5EnterEv(isolate);
  if (type == napi_function) {
    _ZN2v87Isolate5EnterEv(own);
    napi_call_function(env, undefined, values[2], 0, NULL, &result);
    _ZN2v87Isolate4ExitEv(own);
  }
  int value = evaluate(isolate, made[number].context, code);
  _ZN2v87Isolate4ExitEv(isolate);
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_create_int32(env, value, &result);
  return result;
}

// end(code): ends the process. Otherwise V8 would complain about isolates that were not disposed of.
static napi_value end(napi_env env, napi_callback_info info) {
  size_t length = 1;
  napi_value value;
  int32_t code = 0;
  napi_get_cb_info(env, info, &length, &value, NULL, NULL);
  napi_get_value_int32(env, value, &code);
  _exit(code);
}

NAPI_MODULE_INIT() {
  napi_value fn;
  napi_create_function(env, "make", NAPI_AUTO_LENGTH, make, NULL, &fn);
  napi_set_named_property(env, exports, "make", fn);
  napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, NULL, &fn);
  napi_set_named_property(env, exports, "run", fn);
  napi_create_function(env, "end", NAPI_AUTO_LENGTH, end, NULL, &fn);
  napi_set_named_property(env, exports, "end", fn);
  return exports;
}
