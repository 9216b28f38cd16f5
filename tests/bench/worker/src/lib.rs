//! What the workers share: arguments, the protocol with `bench.py`, clocks and memory.
//!
//! `worker SPEC.json THREADS OUTPUT_DIR` loads the model, runs it once, writes each output as raw little-endian floats
//! to `OUTPUT_DIR/N.bin` and answers with one line of JSON. Then `run WARMUP COUNT` answers with COUNT times in
//! nanoseconds, each around inputs set, inference, outputs fetched. Anything else ends the worker.

use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Any error: workers only report them.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The model as `bench.py` describes it.
#[derive(Deserialize)]
pub struct Spec {
    /// The ONNX file, all input shapes constant.
    pub onnx: PathBuf,
    /// What `cygnet compile` made of it.
    pub cygnet: Option<PathBuf>,
    /// Inputs in the order of the graph.
    pub inputs: Vec<InputSpec>,
}

/// One input and the file that holds its value.
#[derive(Deserialize)]
pub struct InputSpec {
    /// Name in the ONNX graph.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// `float32` or `int64`.
    pub dtype: String,
    /// Raw little-endian elements.
    pub file: PathBuf,
}

/// Elements of an input.
pub enum Data {
    /// `float32`
    F32(Vec<f32>),
    /// `int64`
    I64(Vec<i64>),
}

/// An input with its value.
pub struct Input {
    /// Name in the ONNX graph.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Elements, row major.
    pub data: Data,
}

impl InputSpec {
    fn load(&self) -> Outcome<Input> {
        let bytes = std::fs::read(&self.file)?;
        let data = match self.dtype.as_str() {
            "float32" => Data::F32(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b))
                    .collect(),
            ),
            "int64" => Data::I64(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| i64::from_le_bytes(*b))
                    .collect(),
            ),
            other => return Err(format!("inputs of type {other} are not known").into()),
        };
        Ok(Input {
            name: self.name.clone(),
            shape: self.shape.clone(),
            data,
        })
    }
}

/// An engine that holds a loaded model.
pub trait Engine: Sized {
    /// Loads the model; afterwards `run` is all that is missing.
    ///
    /// # Errors
    /// When the engine does not take the model.
    fn open(spec: &Spec, threads: usize) -> Outcome<Self>;

    /// Sets the inputs, runs, and copies the outputs to `outputs` (one vector each, reused).
    ///
    /// # Errors
    /// When the engine fails.
    fn run(&mut self, inputs: &[Input], outputs: &mut Vec<Vec<f32>>) -> Outcome<()>;

    /// What the engine says about itself, such as its instruction set.
    fn describe(&self) -> String {
        String::new()
    }
}

/// The engine that does nothing: a process with the inputs in memory.
pub struct Empty;

impl Engine for Empty {
    fn open(_: &Spec, _: usize) -> Outcome<Self> {
        Ok(Empty)
    }

    fn run(&mut self, _: &[Input], _: &mut Vec<Vec<f32>>) -> Outcome<()> {
        Ok(())
    }
}

#[derive(Serialize, Default)]
struct Ready {
    load_ns: u64,
    first_ns: u64,
    base_rss: Option<u64>,
    peak_rss: Option<u64>,
    about: String,
}

#[derive(Serialize)]
struct Times {
    times: Vec<u64>,
    wall_ns: u64,
    cpu_ns: Option<u64>,
}

#[derive(Serialize)]
struct Failure {
    error: String,
}

/// A field of `/proc/self/status` in bytes.
fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with(field))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// CPU time of all threads of the process.
#[cfg(unix)]
fn cpu_ns() -> Option<u64> {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is a valid place for the result.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut t) };
    (status == 0).then(|| t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
}

#[cfg(not(unix))]
fn cpu_ns() -> Option<u64> {
    None
}

fn answer(value: &impl Serialize) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

fn serve<E: Engine>(spec: &Path, threads: usize, folder: &Path) -> Outcome<()> {
    let spec: Spec = serde_json::from_slice(&std::fs::read(spec)?)?;
    let inputs = spec
        .inputs
        .iter()
        .map(InputSpec::load)
        .collect::<Outcome<Vec<_>>>()?;
    let mut outputs = Vec::new();

    // Where the kernel lets us, the peak counts from here.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let base_rss = status("VmRSS:");
    let begin = Instant::now();
    let mut engine = E::open(&spec, threads)?;
    let load_ns = begin.elapsed().as_nanos() as u64;
    engine.run(&inputs, &mut outputs)?;
    let first_ns = begin.elapsed().as_nanos() as u64 - load_ns;

    std::fs::create_dir_all(folder)?;
    for (i, output) in outputs.iter().enumerate() {
        let bytes: Vec<u8> = output.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{i}.bin")), bytes)?;
    }
    answer(&Ready {
        load_ns,
        first_ns,
        base_rss,
        peak_rss: status("VmHWM:"),
        about: engine.describe(),
    })?;

    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let (Some("run"), Some(warmup), Some(count)) = (words.next(), words.next(), words.next())
        else {
            break;
        };
        for _ in 0..warmup.parse::<usize>()? {
            engine.run(&inputs, &mut outputs)?;
        }
        let count = count.parse::<usize>()?;
        let mut times = Vec::with_capacity(count);
        let (begin, cpu) = (Instant::now(), cpu_ns());
        for _ in 0..count {
            let start = Instant::now();
            engine.run(&inputs, &mut outputs)?;
            times.push(start.elapsed().as_nanos() as u64);
        }
        let wall_ns = begin.elapsed().as_nanos() as u64;
        let cpu_ns = cpu_ns().zip(cpu).map(|(end, begin)| end - begin);
        answer(&Times {
            times,
            wall_ns,
            cpu_ns,
        })?;
    }
    Ok(())
}

/// The whole program: reads the arguments and serves until the input ends.
pub fn main<E: Engine>() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, spec, threads, folder] = arguments.as_slice() else {
        eprintln!("usage: worker SPEC.json THREADS OUTPUT_DIR");
        return 2.into();
    };
    let result = threads
        .parse()
        .map_err(Into::into)
        .and_then(|threads| serve::<E>(spec.as_ref(), threads, folder.as_ref()));
    if let Err(error) = result {
        let _ = answer(&Failure {
            error: error.to_string(),
        });
        return 1.into();
    }
    0.into()
}
