package dev.cygnet

import java.nio.ByteBuffer

/**
 * The native half, `bindings/jni`. Handles are numbers that it looks up, so that a stale one is a [ClosedException].
 *
 * The system property `cygnet.library` names the library's file where it is not on the library path.
 */
internal object Native {
    init {
        val file = System.getProperty("cygnet.library")
        if (file != null) System.load(file) else System.loadLibrary("cygnet_jni")
    }

    @JvmStatic external fun openPath(path: String): Long

    @JvmStatic external fun openBytes(bytes: ByteArray): Long

    @JvmStatic external fun openBuffer(buffer: ByteBuffer, first: Int, length: Int): Long

    @JvmStatic external fun describe(model: Long): ByteArray

    @JvmStatic external fun selfTest(model: Long): Int

    @JvmStatic external fun closeModel(model: Long)

    @JvmStatic external fun openSession(model: Long, threads: Int): Long

    @JvmStatic external fun closeSession(session: Long)

    @JvmStatic external fun cancel(session: Long)

    @JvmStatic external fun reset(session: Long)

    @JvmStatic external fun warmUp(session: Long)

    @JvmStatic external fun setShape(session: Long, input: Int, shape: IntArray)

    @JvmStatic external fun setFloats(session: Long, input: Int, values: FloatArray)

    @JvmStatic external fun setInts(session: Long, input: Int, values: IntArray)

    @JvmStatic external fun setLongs(session: Long, input: Int, values: LongArray)

    @JvmStatic external fun setBytes(session: Long, input: Int, bytes: ByteArray, first: Int, length: Int)

    @JvmStatic external fun setBuffer(session: Long, input: Int, buffer: ByteBuffer, first: Int, length: Int)

    @JvmStatic external fun run(session: Long)

    @JvmStatic external fun call(
        session: Long,
        from: ByteBuffer,
        first: Int,
        length: Int,
        to: ByteBuffer,
        at: Int,
        room: Int,
    ): Int

    @JvmStatic external fun profile(session: Long): ByteArray

    @JvmStatic external fun outputFloats(session: Long, output: Int): FloatArray

    @JvmStatic external fun outputBytes(session: Long, output: Int): ByteArray

    @JvmStatic external fun outputInto(session: Long, output: Int, buffer: ByteBuffer, first: Int, room: Int): Int

    @JvmStatic external fun outputShape(session: Long, output: Int): IntArray

    @JvmStatic external fun setPicture(session: Long, numbers: IntArray, a: Any?, b: Any?, c: Any?)

    @JvmStatic external fun askPicture(session: Long, numbers: IntArray, a: Any?, b: Any?, c: Any?): ByteArray

    @JvmStatic external fun askSound(session: Long, samples: FloatArray, rate: Int): ByteArray

    @JvmStatic external fun answer(session: Long): ByteArray
}
