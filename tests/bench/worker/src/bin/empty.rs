//! A worker without an engine: what a process of this kind needs by itself.

fn main() -> std::process::ExitCode {
    cygnet_bench_worker::main::<cygnet_bench_worker::Empty>()
}
