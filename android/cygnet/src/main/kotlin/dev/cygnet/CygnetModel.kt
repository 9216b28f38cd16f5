package dev.cygnet

import java.io.File
import java.nio.ByteBuffer

/** The lengths that an axis may have, both included. */
public data class Axis(val least: Int, val most: Int) {
    override fun toString(): String = if (least == most) "$most" else "$least..$most"
}

/** An input or an output: its name, the type of its elements (`f32`, `i64`, ...), its axes, outermost first. */
public data class Port(val name: String, val type: String, val axes: List<Axis>)

/**
 * A validated model. It is immutable: any number of threads may use one, each with a [Session] of its own.
 *
 * ```kotlin
 * val model = CygnetModel.open(file)
 * val session = model.session()
 * val best = session.classify(picture).first()
 * ```
 *
 * Close it when no further session is wanted; open sessions keep what they need of it.
 */
public class CygnetModel private constructor(private val handle: Long) : AutoCloseable {
    /** What the model takes, in order. */
    public val inputs: List<Port>

    /** What the model gives, in order. */
    public val outputs: List<Port>

    /** Names of classes; empty when the bundle has none. */
    public val labels: List<String>

    /** Bytes of memory outside of Java's heap that each session takes besides the model. */
    public val sessionBytes: Long

    /** Whether the bundle says how a picture becomes an input. */
    public val takesPictures: Boolean

    /** Samples a second of the sounds that the model takes; 0 when it takes none. Other rates are converted. */
    public val soundRate: Int

    /** What the model answers: `classes`, `text`, `boxes`, `mask`, `embedding`; empty when the bundle does not say. */
    public val answers: String

    init {
        val packed = Packed(Native.describe(handle))
        val ports = { packed.list { Port(packed.text(), packed.text(), packed.list { Axis(packed.int(), packed.int()) }) } }
        inputs = ports()
        outputs = ports()
        labels = packed.list { packed.text() }
        sessionBytes = packed.long()
        val records = packed.list { Record(packed.int(), packed.int(), packed.int(), packed.text()) }
        takesPictures = records.any { it.kind == 1 }
        soundRate = records.firstOrNull { it.kind == 2 }?.rate ?: 0
        answers = records.firstOrNull { it.kind == 16 }?.name ?: ""
    }

    private class Record(val kind: Int, val port: Int, val rate: Int, val name: String)

    /**
     * A session: the memory of one run.
     *
     * @param threads 1 runs on the calling thread alone, 0 takes as many as the device has.
     * @throws ClosedException when the model is closed.
     * @throws OutOfMemoryException when there is not enough memory.
     */
    @JvmOverloads
    @Throws(CygnetException::class)
    public fun session(threads: Int = 1): Session = Session(this, Native.openSession(handle, threads))

    /**
     * Runs the bundle's golden examples on this very device and returns how many there are.
     *
     * @throws SelfTestException when an output differs.
     * @throws PipelineException when the bundle has no examples.
     */
    @Throws(CygnetException::class)
    public fun selfTest(): Int = Native.selfTest(handle)

    /** Frees the model once its sessions are closed; again it does nothing. */
    override fun close(): Unit = Native.closeModel(handle)

    override fun toString(): String = "CygnetModel($inputs -> $outputs)"

    public companion object {
        /**
         * Opens a bundle by memory map, which costs little however large it is. The file must not change while the model is
         * open.
         *
         * @throws ModelException when the file cannot be read or is not valid.
         */
        @JvmStatic
        @Throws(CygnetException::class)
        public fun open(file: File): CygnetModel = CygnetModel(Native.openPath(file.path))

        /** As above, by path. */
        @JvmStatic
        @Throws(CygnetException::class)
        public fun open(path: String): CygnetModel = CygnetModel(Native.openPath(path))

        /** Opens a bundle in memory, which is copied out of Java's heap. */
        @JvmStatic
        @Throws(CygnetException::class)
        public fun open(bytes: ByteArray): CygnetModel = CygnetModel(Native.openBytes(bytes))

        /** Opens the bundle between position and limit of a buffer, which is copied and stays as it is. */
        @JvmStatic
        @Throws(CygnetException::class)
        public fun open(bytes: ByteBuffer): CygnetModel {
            val direct = if (bytes.isDirect) bytes else Picture.direct(bytes)
            return CygnetModel(Native.openBuffer(direct, direct.position(), direct.remaining()))
        }
    }
}
