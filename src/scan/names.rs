//! Classifies a global by its exact pair of module and name: weights, dangerous, or unknown.
//!
//! The converter calls nothing, so no list protects its users; the lists decide what a report states. A pair on no list
//! is unknown, never clean. The lists contain the spellings of Python 2 next to those of Python 3, because the protocol
//! decides which of them a loader looks up.
//!
//! Sources: the published lists of picklescan, modelscan and fickling, the advisories on their gaps, and the
//! documentation of the standard library; `tests/scan/listed.json` contains the pairs of picklescan that the tests use.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Verdict;
use crate::checkpoint::{self, Named};

/// The name in a report of a global whose name is computed while the pickle runs.
pub(super) const COMPUTED: &str = "(computed)";
/// The module in a report of a global from a code of the extension registry.
pub(super) const EXTENSION: &str = "(extension registry)";

/// Modules that are dangerous as a whole, with everything below them.
#[rustfmt::skip]
const MODULES: &[&str] = &[
    // Processes, files, the interpreter.
    "os", "posix", "nt", "ntpath", "posixpath", "subprocess", "_posixsubprocess", "popen2", "commands", "pty", "shutil",
    "sys", "signal", "resource", "gc", "ctypes", "_ctypes", "cffi", "mmap", "tempfile", "fileinput", "glob", "fcntl",
    "_winapi", "winreg", "_winreg", "msvcrt", "_aix_support", "_osx_support", "antigravity", "atexit",
    // Imports and runs by name.
    "importlib", "imp", "_imp", "_frozen_importlib", "_frozen_importlib_external", "zipimport", "runpy", "pkgutil",
    "pkg_resources", "site", "pydoc", "modulefinder", "zipapp", "ensurepip", "pip", "setuptools", "distutils", "venv",
    "virtualenv", "pyclbr", "rlcompleter",
    // Run source or code objects.
    "code", "codeop", "compileall", "py_compile", "bdb", "pdb", "cProfile", "profile", "_lsprof", "timeit", "trace",
    "tracemalloc", "doctest", "unittest", "test", "_testcapi", "idlelib", "lib2to3", "_pyrepl", "pytest", "_pytest",
    "IPython", "nose", "dis", "ast",
    // Unpickle or unmarshal again.
    "pickle", "_pickle", "cPickle", "pickletools", "marshal", "shelve", "dbm", "anydbm", "cloudpickle", "dill",
    "jsonpickle", "joblib.numpy_pickle_compat", "joblib.externals.cloudpickle", "joblib.externals.loky",
    // The network.
    "socket", "_socket", "ssl", "_ssl", "urllib", "urllib2", "urllib3", "http", "httplib", "BaseHTTPServer",
    "SimpleHTTPServer", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "smtpd", "poplib", "imaplib", "nntplib",
    "telnetlib", "xmlrpc", "xmlrpclib", "SimpleXMLRPCServer", "socketserver", "SocketServer", "asyncore", "asynchat",
    "asyncio", "webbrowser", "wsgiref", "cgi", "paramiko", "boto3", "fsspec", "select", "selectors",
    // Processes and threads that run a given function.
    "multiprocessing", "_multiprocessing", "concurrent", "threading", "_thread", "thread", "sched", "_xxsubinterpreters",
    "torch.multiprocessing",
    // In torch and numpy: modules that compile, evaluate, load or start programs.
    "numpy.f2py", "numpy.distutils", "numpy.testing", "numpy.ctypeslib", "numpy.lib.npyio", "numpy.lib._npyio_impl",
    "torch._dynamo", "torch._inductor", "torch.fx.experimental", "torch.fx.graph_module", "torch.hub", "torch.jit",
    "torch.utils.bottleneck", "torch.utils.collect_env", "torch.utils.cpp_extension", "torch.utils._config_module",
    "torch.utils.data.datapipes", "torch.utils.model_dump", "torch.distributed.elastic", "torch.distributed.run",
    "torch.distributed.launch", "torch.distributed.rpc", "torch.package", "torch.testing", "torch.onnx",
    "torch._C._jit", "torch.ops", "torch._ops", "torch.classes", "torch.utils.benchmark",
];
/// Plain data in modules that are dangerous as a whole: enumerations and tuples, which take any arguments and execute
/// nothing. `tests/fixtures/judge_data.py` calls them in every way that a pickle can, and listens to `CPython`'s audit events.
#[rustfmt::skip]
const DATA: &[(&str, &[&str])] = &[
    ("http", &["HTTPMethod", "HTTPStatus"]),
    ("os", &["stat_result", "statvfs_result", "terminal_size", "times_result", "uname_result"]),
    ("signal", &["Handlers", "Sigmasks", "Signals"]),
    ("socket", &["AddressFamily", "AddressInfo", "MsgFlag", "SocketKind"]),
    ("ssl",
     &["AlertDescription", "Options", "SSLErrorNumber", "TLSVersion", "VerifyFlags", "VerifyMode", "_SSLMethod"]),
    ("urllib.parse",
     &["DefragResult", "DefragResultBytes", "ParseResult", "ParseResultBytes", "SplitResult", "SplitResultBytes"]),
];
/// The beginnings of the names of their members, by which Python 3.10 and earlier pickle them: `socket.AF_INET`.
#[rustfmt::skip]
const MEMBERS: &[(&str, &[&str])] = &[
    ("signal", &["SIG"]),
    ("socket", &["AF_", "AI_", "MSG_", "SOCK_"]),
    ("ssl", &["ALERT_DESCRIPTION_", "CERT_", "OP_", "PROTOCOL_", "SSL_ERROR_", "VERIFY_"]),
];
/// Modules in which only these names are known to be harmless.
#[rustfmt::skip]
const MODULES_EXCEPT: &[(&str, &[&str])] = &[
    ("uuid", &["UUID", "SafeUUID"]),
    ("inspect", &["_empty", "Parameter", "Signature", "_ParameterKind"]),
    ("logging", &["Logger", "RootLogger", "PlaceHolder", "getLogger", "NullHandler", "_reduce_logger"]),
];
/// Names that torch itself writes into its files, from modules that are otherwise dangerous: the lists of TorchScript
/// archives, and the range of a dynamic dimension (three integers), which a jagged nested tensor has as an attribute.
#[rustfmt::skip]
const WRITTEN_BY_TORCH: &[(&str, &[&str])] = &[
    ("torch.jit._pickle",
     &["build_boollist", "build_doublelist", "build_intlist", "build_tensor_from_id", "build_tensorlist", "restore_type_tag"]),
    ("torch._dynamo.decorators", &["_DimRange"]),
];
/// The modules of the builtins.
const PYTHON: [&str; 3] = ["builtins", "__builtin__", "__builtins__"];
/// Builtins that execute code, open files, or reach attributes.
#[rustfmt::skip]
const BUILTINS: &[&str] = &[
    "__build_class__", "__import__", "apply", "breakpoint", "classmethod", "compile", "delattr", "dir", "eval", "exec",
    "execfile", "exit", "file", "filter", "getattr", "globals", "help", "input", "intern", "locals", "map", "open",
    "property", "quit", "raw_input", "reduce", "reload", "setattr", "super", "vars",
];
/// Names that execute code or open files, in modules that also contain harmless names.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("_io", "FileIO"), ("_io", "open"), ("_io", "open_code"), ("io", "FileIO"), ("io", "open"), ("io", "open_code"),
    ("_pyio", "FileIO"), ("_pyio", "open"), ("codecs", "open"), ("gzip", "open"), ("bz2", "open"), ("lzma", "open"),
    ("bz2", "BZ2File"), ("gzip", "GzipFile"), ("zipfile", "ZipFile"), ("tarfile", "open"), ("tarfile", "TarFile"),
    ("linecache", "getline"), ("linecache", "getlines"), ("sqlite3", "connect"), ("mailcap", "findmatch"),
    ("platform", "popen"), ("platform", "_syscmd_ver"), ("platform", "_syscmd_file"), ("platform", "_syscmd_uname"),
    ("_operator", "attrgetter"), ("_operator", "methodcaller"), ("_operator", "call"),
    ("operator", "attrgetter"), ("operator", "methodcaller"), ("operator", "call"),
    ("functools", "reduce"), ("_functools", "reduce"), ("itertools", "starmap"), ("itertools", "accumulate"),
    ("types", "CodeType"), ("types", "FunctionType"), ("types", "LambdaType"), ("types", "MethodType"),
    ("types", "ModuleType"), ("new", "code"), ("new", "function"), ("new", "instancemethod"),
    ("dataclasses", "make_dataclass"), ("typing", "get_type_hints"),
    ("typing", "ForwardRef"), ("string", "Formatter"), ("enum", "_EnumDict"), ("weakref", "finalize"),
    ("contextlib", "ExitStack"), ("copyreg", "_reconstructor_ex"), ("copyreg", "add_extension"),
    ("copy_reg", "add_extension"), ("copyreg", "pickle"), ("copy_reg", "pickle"),
    ("encodings", "search_function"), ("codecs", "register"), ("_codecs", "register"),
    ("joblib", "load"), ("joblib.numpy_pickle", "load"), ("pandas", "read_pickle"), ("pandas", "eval"),
    ("pandas.io.pickle", "read_pickle"), ("pandas.core.computation.eval", "eval"), ("pandas", "DataFrame.query"),
    ("numpy", "load"), ("numpy", "fromfile"), ("numpy", "memmap"), ("numpy", "save"), ("numpy", "savez"),
    ("numpy", "savetxt"), ("numpy", "loadtxt"), ("numpy", "genfromtxt"), ("numpy", "vectorize"),
    ("numpy.core.memmap", "memmap"), ("numpy._core.memmap", "memmap"),
    ("torch", "load"), ("torch", "save"), ("torch", "compile"), ("torch.serialization", "load"),
    ("torch.serialization", "save"), ("torch.serialization", "_load"), ("torch.serialization", "_legacy_load"),
    ("torch.storage", "_load_from_bytes"), ("torch", "from_file"), ("torch._utils_internal", "get_file_path"),
    ("torch._utils", "_import_dotted_name"), ("torch.library", "Library"), ("torch.export", "load"),
    ("tensorflow.python.keras.models", "load_model"), ("keras.models", "load_model"), ("yaml", "load"),
    ("yaml", "unsafe_load"), ("sympy", "sympify"), ("numexpr", "evaluate"), ("tkinter", "Tcl"), ("turtle", "_CFG"),
    ("getpass", "getpass"), ("pprint", "_safe_repr"), ("pathlib", "Path.write_text"), ("pathlib", "Path.unlink"),
];
/// Names that pass a call on to an argument, or create a class or a line of text from it.
#[rustfmt::skip]
const CARRIERS: &[(&str, &str)] = &[
    ("functools", "partial"), ("_functools", "partial"), ("functools", "partialmethod"),
    ("operator", "itemgetter"), ("_operator", "itemgetter"), ("collections", "namedtuple"),
    ("builtins", "type"), ("__builtin__", "type"), ("builtins", "print"), ("__builtin__", "print"),
];
/// Modules that appear as names in other modules: such a name reaches the module.
#[rustfmt::skip]
const REACHED: &[&str] = &[
    "os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "importlib", "shutil", "socket", "pickle",
    "cPickle", "ctypes", "runpy", "marshal", "pty", "commands", "inspect",
];
/// Attributes that lead from any object to the interpreter.
#[rustfmt::skip]
const ATTRIBUTES: &[&str] = &[
    "__globals__", "__builtins__", "__subclasses__", "__getattribute__", "__dict__", "__import__", "__loader__",
    "__spec__", "__code__", "__closure__", "__mro__", "__bases__", "__base__", "__self__", "__func__", "__wrapped__",
    "__reduce__", "__reduce_ex__", "__call__", "__class__", "__init__", "func_globals", "gi_frame", "f_globals",
];

/// The lists by the first component of their modules: most modules of other globals have another one.
static TOPS: LazyLock<HashMap<&str, Listed>> = LazyLock::new(|| {
    let mut tops: HashMap<_, Listed> = HashMap::new();
    for &module in MODULES {
        tops.entry(top_of(module)).or_default().modules.push(module);
    }
    for entry in MODULES_EXCEPT {
        tops.entry(top_of(entry.0)).or_default().modules_except.push(entry);
    }
    for entry in NAMES {
        tops.entry(top_of(entry.0)).or_default().names.push(entry);
    }
    let others = [DATA, MEMBERS, WRITTEN_BY_TORCH].concat().into_iter().map(|(module, _)| module);
    for module in others.chain(CARRIERS.iter().map(|(module, _)| *module)).chain(PYTHON) {
        tops.entry(top_of(module)).or_default();
    }
    tops
});

/// The entries of the long lists whose modules have the same first component.
#[derive(Default)]
struct Listed {
    modules: Vec<&'static str>,
    modules_except: Vec<&'static (&'static str, &'static [&'static str])>,
    names: Vec<&'static (&'static str, &'static str)>,
}

/// No first component of a listed module is longer. A longer one, such as a line of text, is not hashed.
const LONGEST: usize = 32;

/// Returns the first of the globals that is known to execute code and is not used only as a name.
pub fn dangerous(globals: &[Named]) -> Option<&Named> {
    globals.iter().find(|named| !named.inert && is_dangerous(&named.module, &named.name))
}

/// Classifies a global. The pair is compared exactly, so a look-alike is unknown.
pub fn judge(module: &str, name: &str) -> Verdict {
    if is_dangerous(module, name) {
        return Verdict::Dangerous;
    }
    if checkpoint::is_weights(module, name) { Verdict::Weights } else { Verdict::Unknown }
}

/// Returns `true` if the global is known to execute code, or leads to one that does.
pub fn is_dangerous(module: &str, name: &str) -> bool {
    if module == EXTENSION || module == COMPUTED || name == COMPUTED {
        return module != EXTENSION;
    }
    let top = top_of(module);
    let listed = if top.len() <= LONGEST { TOPS.get(top) } else { None };
    let is_listed = listed.is_some();
    if is_listed && (is_written_by_torch(module, name) || is_data(module, name)) {
        return false;
    }
    if is_listed && CARRIERS.contains(&(module, name))
        || PYTHON.contains(&module) && BUILTINS.contains(&top_of(name))
    {
        return true;
    }
    let mut parts = name.split('.');
    if parts.clone().any(|part| ATTRIBUTES.contains(&part))
        || parts.any(|part| REACHED.contains(&part.trim_start_matches('_')) || part == "__builtins__")
    {
        return true;
    }
    let Some(listed) = listed else { return false };
    // A dotted name continues through the attributes of the module, which may be a module with a longer path.
    let path = format!("{module}.{name}");
    listed.modules.iter().any(|listed| is_inside(&path, listed))
        || listed.modules_except.iter().any(|(listed, harmless)| {
            is_inside(&path, listed) && !(module == *listed && harmless.contains(&name))
        })
        || listed.names.iter().any(|(module, name)| {
            let rest = path.strip_prefix(module).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| is_inside(rest, name))
        })
}

/// Returns the first component of a dotted path.
fn top_of(path: &str) -> &str {
    path.split_once('.').map_or(path, |(top, _)| top)
}

fn is_written_by_torch(module: &str, name: &str) -> bool {
    WRITTEN_BY_TORCH.iter().any(|(listed, harmless)| module == *listed && harmless.contains(&name))
}

/// Returns `true` for an enumeration, a member of one, or a tuple, by its exact name.
fn is_data(module: &str, name: &str) -> bool {
    let is_constant = || name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'v'));
    DATA.iter().any(|(listed, names)| module == *listed && names.contains(&name))
        || MEMBERS.iter().any(|(listed, begins)| {
            module == *listed && begins.iter().any(|begin| name.starts_with(begin)) && is_constant()
        })
}

/// Returns `true` if the dotted path is `listed`, or below it.
fn is_inside(path: &str, listed: &str) -> bool {
    path.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_module_is_looked_up() {
        assert!(TOPS.keys().all(|top| top.len() <= LONGEST));
        for module in MODULES {
            assert!(is_dangerous(module, "name"), "{module}");
        }
        for (module, name) in NAMES.iter().chain(CARRIERS) {
            assert!(is_dangerous(module, name), "{module}.{name}");
        }
        for (module, _) in MODULES_EXCEPT {
            assert!(is_dangerous(module, "name"), "{module}");
        }
    }

    #[test]
    fn plain_data_of_dangerous_modules_is_unknown() {
        for (module, name) in [
            ("http", "client"),
            ("http.HTTPStatus", "HTTPStatus"),
            ("http", "HTTPStatus.__init__"),
            ("signal", "signal"),
            ("signal", "SIGINT.__class__"),
            ("signal", "raise_signal"),
            ("socket", "socket"),
            ("socket", "AF_INET.to_bytes"),
            ("urllib.parse", "urlparse"),
            ("urllib", "parse.ParseResult"),
            ("os", "stat"),
            ("operator", "attrgetter"),
            ("operator", "itemgetter"),
        ] {
            assert_eq!(judge(module, name), Verdict::Dangerous, "{module}.{name}");
        }
        for (module, name) in [
            ("http", "HTTPStatus"),
            ("signal", "Signals"),
            ("signal", "SIGINT"),
            ("socket", "AddressFamily"),
            ("socket", "AF_INET"),
            ("ssl", "OP_NO_SSLv2"),
            ("ssl", "CERT_NONE"),
            ("urllib.parse", "ParseResult"),
            ("urllib.parse", "SplitResult"),
            ("os", "stat_result"),
        ] {
            assert_eq!(judge(module, name), Verdict::Unknown, "{module}.{name}");
        }
    }

    #[test]
    fn pairs_are_compared_exactly() {
        for (module, name) in [
            ("os", "system"),
            ("os.path", "join"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("__builtin__", "getattr"),
            ("builtins", "getattr.__call__"),
            ("torch.storage", "_load_from_bytes"),
            ("numpy.testing._private.utils", "runstring"),
            ("torch", "hub.load"),
            ("torch.serialization", "os.system"),
            ("torch._utils", "sys"),
            ("collections", "_sys.modules"),
            ("collections", "OrderedDict.__init__.__globals__"),
            ("uuid", "_popen"),
            ("logging", "FileHandler"),
            ("torch._dynamo.decorators", "mark_dynamic"),
            ("torch._dynamo", "_DimRange"),
        ] {
            assert_eq!(judge(module, name), Verdict::Dangerous, "{module}.{name}");
            assert!(is_dangerous(module, name), "{module}.{name}");
        }
        for (module, name) in [
            ("osmium", "system"),
            ("my.os", "system"),
            ("uuid", "UUID"),
            ("torch._dynamo.decorators", "_DimRange"),
            ("torch.jit._pickle", "build_intlist"),
            ("io", "BytesIO"),
            ("collections", "OrderedDict.fromkeys"),
            ("collections.OrderedDict", "OrderedDict"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("torch.FloatStorage", ""),
            ("evil", "FloatStorage"),
            ("torch", "FloatStorage.from_buffer"),
        ] {
            assert_eq!(judge(module, name), Verdict::Unknown, "{module}.{name}");
        }
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("builtins", "set"),
            ("__builtin__", "set"),
            ("torch", "FloatStorage"),
            ("torch", "QInt8Storage"),
            ("torch.storage", "UntypedStorage"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch", "bfloat16"),
            ("_codecs", "encode"),
        ] {
            assert_eq!(judge(module, name), Verdict::Weights, "{module}.{name}");
        }
        for (module, name) in CARRIERS {
            assert_eq!(judge(module, name), Verdict::Dangerous);
        }
    }
}
