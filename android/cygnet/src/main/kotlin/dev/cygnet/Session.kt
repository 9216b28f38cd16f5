package dev.cygnet

import java.nio.ByteBuffer

/**
 * The memory of one run of a [model]. One thread at a time uses it: a call while another thread is in one fails with
 * [SessionBusyException], any call but [close] and [cancel] on a closed one with [ClosedException].
 *
 * Calls last as long as the run: keep them off the main thread, or use the suspending functions of `Coroutines.kt`.
 */
public class Session internal constructor(
    /** The model. */
    public val model: CygnetModel,
    private val handle: Long,
) : AutoCloseable {
    private var reused: ByteBuffer? = null

    private fun position(ports: List<Port>, name: String, what: String): Int {
        val found = ports.indexOfFirst { it.name == name }
        if (found < 0) {
            throw InputException("the model has no $what `$name`: there are ${ports.joinToString { it.name }}")
        }
        return found
    }

    /**
     * The position of the input of this name.
     *
     * @throws InputException with the names that there are.
     */
    @Throws(CygnetException::class)
    public fun input(name: String): Int = position(model.inputs, name, "input")

    /**
     * The position of the output of this name.
     *
     * @throws InputException with the names that there are.
     */
    @Throws(CygnetException::class)
    public fun output(name: String): Int = position(model.outputs, name, "output")

    /**
     * Gives an input this shape, outermost axis first; models without free axes need none.
     *
     * @throws InputException when the shape is out of the input's bounds.
     */
    @Throws(CygnetException::class)
    public fun setShape(input: Int, vararg shape: Int): Unit = Native.setShape(handle, input, shape)

    /**
     * Fills an input of type `f32` in row-major order.
     *
     * @throws InputException when there is no such input, or its elements are of another type or number.
     */
    @Throws(CygnetException::class)
    public fun setInput(input: Int, values: FloatArray): Unit = Native.setFloats(handle, input, values)

    /** Fills an input of type `i32` in row-major order. */
    @Throws(CygnetException::class)
    public fun setInput(input: Int, values: IntArray): Unit = Native.setInts(handle, input, values)

    /** Fills an input of type `i64` in row-major order. */
    @Throws(CygnetException::class)
    public fun setInput(input: Int, values: LongArray): Unit = Native.setLongs(handle, input, values)

    /** Fills an input of any type with the bytes of its elements, little-endian, in row-major order. */
    @Throws(CygnetException::class)
    public fun setInput(input: Int, bytes: ByteArray): Unit = Native.setBytes(handle, input, bytes, 0, bytes.size)

    /**
     * As above, with what is between position and limit of a buffer, which stays as it is. Direct buffers are the fastest
     * way in.
     */
    @Throws(CygnetException::class)
    public fun setInput(input: Int, bytes: ByteBuffer) {
        when {
            bytes.isDirect -> Native.setBuffer(handle, input, bytes, bytes.position(), bytes.remaining())
            bytes.hasArray() -> {
                val first = bytes.arrayOffset() + bytes.position()
                Native.setBytes(handle, input, bytes.array(), first, bytes.remaining())
            }
            else -> setInput(input, Picture.direct(bytes))
        }
    }

    /**
     * Feeds a picture: turned upright, fitted to the input's size, converted and normalised as the bundle says.
     *
     * @throws PipelineException when the bundle takes no pictures.
     * @throws InputException when the picture's bytes are fewer than its size and strides ask for.
     */
    @Throws(CygnetException::class)
    public fun setPicture(picture: Picture): Unit =
        picture.described { numbers, (a, b, c) -> Native.setPicture(handle, numbers, a, b, c) }

    /**
     * Runs the model on its inputs as they stand: fill all of them before each run.
     *
     * @throws RunException when the run fails.
     * @throws RunCancelledException when it is cancelled.
     */
    @Throws(CygnetException::class)
    public fun run(): Unit = Native.run(handle)

    /**
     * Fills the first input with the bytes of [from], runs, and writes the bytes of the first output to [to], whose limit is
     * set behind them. Both are direct, little-endian; nothing is allocated.
     */
    @Throws(CygnetException::class)
    public fun run(from: ByteBuffer, to: ByteBuffer) {
        val at = to.position()
        val bytes = Native.call(handle, from, from.position(), from.remaining(), to, at, to.remaining())
        to.limit(at + bytes)
    }

    /**
     * An output of type `f32` after a run, in row-major order.
     *
     * @throws InputException when there is no such output, or its elements are of another type.
     */
    @Throws(CygnetException::class)
    public fun floats(output: Int): FloatArray = Native.outputFloats(handle, output)

    /** The bytes of an output's elements after a run, little-endian, in row-major order. */
    @Throws(CygnetException::class)
    public fun bytes(output: Int): ByteArray = Native.outputBytes(handle, output)

    /** Writes the bytes of an output to a direct buffer from its position on; returns how many, and moves nothing. */
    @Throws(CygnetException::class)
    public fun bytes(output: Int, into: ByteBuffer): Int =
        Native.outputInto(handle, output, into, into.position(), into.remaining())

    /** The shape of an output after a run, outermost axis first. */
    @Throws(CygnetException::class)
    public fun shape(output: Int): IntArray = Native.outputShape(handle, output)

    /**
     * The answer in the outputs after a run.
     *
     * @throws PipelineException when the bundle does not say what its outputs mean.
     */
    @Throws(CygnetException::class)
    public fun answer(): Answer = Packed(Native.answer(handle)).answer(model.labels)

    /**
     * Feeds a picture, runs and answers.
     *
     * @throws PipelineException when the bundle does not say how.
     * @throws InputException when the picture's bytes are fewer than its size and strides ask for.
     */
    @Throws(CygnetException::class)
    public fun ask(picture: Picture): Answer {
        val packed = picture.described { numbers, (a, b, c) -> Native.askPicture(handle, numbers, a, b, c) }
        return Packed(packed).answer(model.labels)
    }

    private inline fun <reified T : Answer> ask(picture: Picture, what: String): T {
        if (model.answers != "" && model.answers != what) {
            throw PipelineException("the model answers ${model.answers}, not $what: use ask()")
        }
        return ask(picture) as? T ?: throw PipelineException("the model answers no $what: use ask()")
    }

    /** The classes of a picture with their scores, best first. Fails as [ask] does, and when the model answers anything else. */
    @Throws(CygnetException::class)
    public fun classify(picture: Picture): List<ClassScore> = ask<Answer.Classes>(picture, "classes").classes

    /** The things in a picture, best first, in its pixels. Fails as [ask] does, and when the model answers anything else. */
    @Throws(CygnetException::class)
    public fun detect(picture: Picture): List<Detection> = ask<Answer.Boxes>(picture, "boxes").boxes

    /** The text in a picture of one line. Fails as [ask] does, and when the model answers anything else. */
    @Throws(CygnetException::class)
    public fun read(picture: Picture): Answer.Text = ask(picture, "text")

    /** The class of every pixel. Fails as [ask] does, and when the model answers anything else. */
    @Throws(CygnetException::class)
    public fun segment(picture: Picture): Answer.Mask = ask(picture, "mask")

    /** A vector that compares the picture with others. Fails as [ask] does, and when the model answers anything else. */
    @Throws(CygnetException::class)
    public fun embed(picture: Picture): FloatArray = ask<Answer.Embedding>(picture, "embedding").values

    /**
     * Feeds mono [samples] in -1..1, [rate] a second, runs and answers. A streaming model goes on where the sound before
     * ended. Sounds shorter than a fixed input are followed by silence.
     *
     * @throws PipelineException when the bundle takes no sounds.
     * @throws InputException when the sound is longer than the input.
     */
    @Throws(CygnetException::class)
    public fun listen(samples: FloatArray, rate: Int): Answer =
        Packed(Native.askSound(handle, samples, rate)).answer(model.labels)

    /** Sets what a streaming model remembers to its initial value. */
    @Throws(CygnetException::class)
    public fun reset(): Unit = Native.reset(handle)

    /** Runs once on zeros, so that the first answer does not wait for pages of the file and of memory. Resets states. */
    @Throws(CygnetException::class)
    public fun warmUp(): Unit = Native.warmUp(handle)

    /** Runs and tells the time of every step. */
    @Throws(CygnetException::class)
    public fun profile(): List<StepTime> {
        val packed = Packed(Native.profile(handle))
        return packed.list { StepTime(packed.text(), packed.text(), packed.long()) }
    }

    /** Ends the run that is under way in another thread, which fails with [RunCancelledException]; otherwise does nothing. */
    public fun cancel(): Unit = Native.cancel(handle)

    /** Ends a run that is under way and frees the session's memory; again it does nothing. */
    override fun close(): Unit = Native.closeSession(handle)

    /** A direct buffer of at least so many bytes, kept from call to call. */
    internal fun memory(bytes: Int): ByteBuffer {
        val kept = reused?.takeIf { it.capacity() >= bytes }
        val memory = (kept ?: ByteBuffer.allocateDirect(bytes)).duplicate()
        reused = memory.duplicate()
        memory.clear()
        memory.limit(bytes)
        return memory
    }
}
