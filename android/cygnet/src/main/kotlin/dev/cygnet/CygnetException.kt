package dev.cygnet

/** What went wrong, in words: what, where, and what to do. The class tells what an application can act on. */
public sealed class CygnetException(message: String) : RuntimeException(message)

/** The model cannot be opened: no such file, not a bundle, damaged, or made for another runtime. */
public class ModelException(message: String) : CygnetException(message)

/** What was given does not fit the model: shape, element type, pixel format, stride, rate, name. */
public class InputException(message: String) : CygnetException(message)

/** The bundle does not say how to do this: compile it with `--pipeline`. */
public class PipelineException(message: String) : CygnetException(message)

/** The run failed. */
public class RunException(message: String) : CygnetException(message)

/** The run was ended by [Session.cancel], [Session.close], or because its coroutine was cancelled. */
public class RunCancelledException(message: String) : CygnetException(message)

/** A golden example came out differently on this device. */
public class SelfTestException(message: String) : CygnetException(message)

/** Another thread uses the session. */
public class SessionBusyException(message: String) : CygnetException(message)

/** The model or the session is closed. */
public class ClosedException(message: String) : CygnetException(message)

/** There is not enough memory outside of Java's heap. */
public class OutOfMemoryException(message: String) : CygnetException(message)
