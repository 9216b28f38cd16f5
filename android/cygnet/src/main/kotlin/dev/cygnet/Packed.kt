package dev.cygnet

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Reads what `bindings/jni/src/packed.rs` writes. */
internal class Packed(bytes: ByteArray) {
    private val from = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)

    fun int(): Int = from.getInt()

    fun long(): Long = from.getLong()

    fun float(): Float = from.getFloat()

    fun text(): String {
        val length = int()
        val text = String(from.array(), from.position(), length, Charsets.UTF_8)
        from.position(from.position() + length)
        return text
    }

    fun <T> list(element: () -> T): List<T> = List(int()) { element() }

    fun answer(labels: List<String>): Answer {
        val label = { index: Int -> labels.getOrNull(index) ?: index.toString() }
        return when (val kind = int()) {
            1 -> Answer.Classes(list { int().let { ClassScore(it, label(it), float()) } })
            2 -> float().let { Answer.Text(text(), it) }
            3 -> Answer.Boxes(
                list { int().let { Detection(it, label(it), float(), float(), float(), float(), float()) } },
            )
            4 -> {
                val (width, height) = int() to int()
                val classes = ShortArray(width * height)
                from.asShortBuffer().get(classes)
                Answer.Mask(width, height, classes)
            }
            5 -> {
                val values = FloatArray(int())
                from.asFloatBuffer().get(values)
                Answer.Embedding(values)
            }
            else -> throw PipelineException("the native library gives answers of kind $kind: use one version of both")
        }
    }
}
