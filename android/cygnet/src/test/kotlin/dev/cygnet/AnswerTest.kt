package dev.cygnet

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Bundles by `bindings/jni/examples/bundles.rs`. */
internal fun bundle(name: String): String = System.getProperty("cygnet.bundles") + "/$name.cygnet"

internal fun <R> session(name: String, use: (Session) -> R): R =
    CygnetModel.open(bundle(name)).use { model -> model.session().use(use) }

internal fun direct(vararg bytes: Int): ByteBuffer {
    val buffer = ByteBuffer.allocateDirect(bytes.size)
    bytes.forEach { buffer.put(it.toByte()) }
    buffer.flip()
    return buffer
}

class AnswerTest {
    private fun sameColour(width: Int, height: Int, vararg pixel: Int): ByteArray =
        ByteArray(width * height * pixel.size) { pixel[it % pixel.size].toByte() }

    @Test
    fun modelsTellWhatTheyAre() {
        CygnetModel.open(bundle("colours")).use {
            assertEquals(listOf(1, 8, 8, 3), it.inputs.single().axes.map(Axis::most))
            assertEquals("f32", it.outputs.single().type)
            assertEquals(listOf("red", "green", "blåue"), it.labels)
            assertEquals("classes", it.answers)
            assertTrue(it.takesPictures)
            assertTrue(it.sessionBytes >= 8 * 8 * 3 * 4)
        }
        CygnetModel.open(bundle("stream")).use { assertEquals(16_000, it.soundRate) }
        CygnetModel.open(bundle("free")).use { assertEquals("[1..8, 2]", it.inputs.single().axes.toString()) }
    }

    @Test
    fun classesOfEveryFormat() {
        session("colours") { session ->
            val orders = mapOf(
                PictureFormat.RGB to intArrayOf(10, 200, 30),
                PictureFormat.BGR to intArrayOf(30, 200, 10),
                PictureFormat.RGBA to intArrayOf(10, 200, 30, 255),
                PictureFormat.BGRA to intArrayOf(30, 200, 10, 255),
                PictureFormat.ARGB to intArrayOf(255, 10, 200, 30),
            )
            for ((format, pixel) in orders) {
                val classes = session.classify(Picture.packed(format, 20, 10, sameColour(20, 10, *pixel)))
                assertEquals(format.name, listOf("green", "blåue", "red"), classes.map { it.label })
                assertEquals(listOf(1, 2, 0), classes.map { it.index })
                assertEquals(200 / 255f, classes[0].score, 1e-6f)
                assertEquals(10 / 255f, classes[2].score, 1e-6f)
            }
            val gray = session.classify(Picture.packed(PictureFormat.GRAY, 3, 5, sameColour(3, 5, 51)))
            assertTrue(gray.all { it.score in 0.199f..0.201f })
        }
    }

    @Test
    fun camerasStridesAreFollowed() {
        session("colours") { session ->
            // A red of BT.601: brightness 76, differences 85 and 255; rows of 10 bytes for 8 samples, interleaved colours.
            val y = ByteBuffer.allocateDirect(3 + 10 * 6)
            for (i in 0 until 60) y.put(3 + i, if (i % 10 < 8) 76 else -1)
            y.position(3)
            val uv = ByteBuffer.allocateDirect(8 * 3)
            for (i in 0 until 24) uv.put(i, if (i % 2 == 0) 85 else -1)
            val v = uv.duplicate().also { it.position(1) }
            val picture = Picture.yuv420(8, 6, Plane(y, 10, 1), Plane(uv, 8, 2), Plane(v, 8, 2))
            val best = session.classify(picture).first()
            assertEquals("red", best.label)
            assertEquals(0.99f, best.score, 0.015f)
            assertEquals("buffers stay as they are", 3, y.position())
            // The same in one block; with red first it is blue.
            val block = ByteArray(8 * 6 * 3 / 2) { if (it < 48) 76 else if (it % 2 == 0) 85 else -1 }
            assertEquals("red", session.classify(Picture.nv12(8, 6, ByteBuffer.wrap(block))).first().label)
            assertEquals("blåue", session.classify(Picture.nv21(8, 6, ByteBuffer.wrap(block))).first().label)
            // A row stride in an array, with read-only memory beside it.
            val rows = ByteArray(2 * 8) { if (it % 8 < 6) (if (it % 8 % 3 == 1) 99 else 0) else 120 }
            for (bytes in listOf(ByteBuffer.wrap(rows), ByteBuffer.wrap(rows).asReadOnlyBuffer())) {
                val classes = session.classify(Picture.packed(PictureFormat.RGB, 2, 2, bytes, rowStride = 8))
                assertArrayEquals(floatArrayOf(99 / 255f, 0f, 0f), classes.map { it.score }.toFloatArray(), 1e-6f)
            }
        }
    }

    @Test
    fun picturesAreTurned() {
        session("mask") { session ->
            // Red above blue, 2 x 2.
            val bytes = direct(255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255)
            val upright = Picture.packed(PictureFormat.RGB, 2, 2, bytes)
            val corners = { p: Picture ->
                val mask = session.segment(p)
                assertEquals(8 to 8, mask.width to mask.height)
                listOf(mask[0, 0], mask[7, 0], mask[0, 7], mask[7, 7])
            }
            assertEquals(listOf(0, 0, 2, 2), corners(upright))
            assertEquals(listOf(2, 0, 2, 0), corners(upright.rotated(Rotation.CLOCKWISE_90)))
            assertEquals(listOf(2, 2, 0, 0), corners(upright.rotated(Rotation.of(-180))))
            assertEquals(listOf(0, 2, 0, 2), corners(upright.rotated(Rotation.of(630))))
            assertEquals(listOf(0, 2, 0, 2), corners(upright.rotated(Rotation.CLOCKWISE_90).mirrored()))
        }
    }

    @Test
    fun boxesAreInThePicture() {
        session("boxes") { session ->
            val boxes = session.detect(Picture.packed(PictureFormat.GRAY, 200, 100, ByteArray(20_000)))
            val box = boxes.single()
            assertEquals("green", box.label)
            assertEquals(0.9f, box.score, 1e-6f)
            assertArrayEquals(
                floatArrayOf(0f, 0f, 100f, 50f),
                floatArrayOf(box.left, box.top, box.right, box.bottom),
                1e-3f,
            )
        }
    }

    @Test
    fun textIsRead() {
        session("text") { session ->
            val text = session.read(Picture.packed(PictureFormat.GRAY, 8, 8, ByteArray(64)))
            assertEquals("hé", text.text)
            assertEquals(1f, text.confidence, 1e-6f)
        }
    }

    @Test
    fun soundsGoOn() {
        session("stream") { session ->
            val of = { answer: Answer -> (answer as Answer.Embedding).values.toList() }
            assertEquals(listOf(1f, 2f, 0f, 0f), of(session.listen(floatArrayOf(1f, 2f), 16_000)))
            assertEquals(listOf(2f, 3f, 1f, 1f), of(session.listen(floatArrayOf(1f, 1f, 1f, 1f), 16_000)))
            session.reset()
            assertEquals(listOf(4f, 0f, 0f, 0f), of(session.listen(floatArrayOf(4f), 16_000)))
        }
    }

    @Test
    fun tensorsInAndOut() {
        session("doubled") { session ->
            session.setInput(session.input(session.model.inputs[0].name), floatArrayOf(1f, 2f, 3f, -4f))
            session.run()
            assertArrayEquals(floatArrayOf(2f, 4f, 6f, -8f), session.floats(0), 0f)
            assertArrayEquals(intArrayOf(4), session.shape(0))
            val bytes = ByteBuffer.allocateDirect(32).order(ByteOrder.LITTLE_ENDIAN)
            bytes.putFloat(16, 0.5f)
            bytes.position(16)
            session.setInput(0, bytes)
            session.run()
            assertEquals(16, session.bytes(0, bytes.duplicate().also { it.position(0) }))
            assertEquals(1f, bytes.getFloat(0))
            val heap = ByteBuffer.allocate(20).order(ByteOrder.LITTLE_ENDIAN)
            heap.putFloat(4, 3f)
            heap.position(4)
            session.setInput(0, heap)
            session.run()
            assertEquals(6f, ByteBuffer.wrap(session.bytes(0)).order(ByteOrder.LITTLE_ENDIAN).getFloat(0))
            bytes.clear().limit(16)
            val to = ByteBuffer.allocateDirect(100).order(ByteOrder.LITTLE_ENDIAN)
            session.run(bytes, to)
            assertEquals(16, to.remaining())
            assertEquals(2f, to.getFloat(0))
            assertTrue(session.profile().single().operator.isNotEmpty())
            session.warmUp()
        }
        session("free") { session ->
            session.setShape(0, 3, 2)
            session.setInput(0, longArrayOf(1, 2, 3, 4, 5, 1L shl 40))
            session.run()
            assertArrayEquals(intArrayOf(3, 2), session.shape(0))
            val out = ByteBuffer.wrap(session.bytes(0)).order(ByteOrder.LITTLE_ENDIAN).asLongBuffer()
            assertEquals(listOf(2L, 4L, 6L, 8L, 10L, 1L shl 41), List(6) { out.get(it) })
        }
    }

    @Test
    fun examplesProveTheDevice() {
        CygnetModel.open(bundle("good")).use { assertEquals(1, it.selfTest()) }
    }
}
