package dev.cygnet

import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.ImageFormat
import android.graphics.PixelFormat
import java.nio.ByteBuffer
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Android's own classes, on the JVM. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class BitmapTest {
    @Test
    fun bitmapsAreClassified() {
        session("colours") { session ->
            val configs = listOf(Bitmap.Config.ARGB_8888, Bitmap.Config.RGB_565, Bitmap.Config.RGBA_F16)
            for (config in configs) {
                val bitmap = Bitmap.createBitmap(13, 7, config)
                bitmap.eraseColor(Color.rgb(255, 0, 66))
                val classes = session.classify(bitmap)
                assertEquals("$config", listOf("red", "blåue", "green"), classes.map { it.label })
                assertEquals("$config", 1f, classes[0].score, 1e-3f)
                assertEquals("$config", 66 / 255f, classes[1].score, 1e-2f)
            }
            val bitmap = Bitmap.createBitmap(3, 3, Bitmap.Config.ARGB_8888)
            bitmap.recycle()
            assertThrows(InputException::class.java) { session.classify(bitmap) }
        }
    }

    @Test
    fun bitmapsAreTurned() {
        session("mask") { session ->
            val bitmap = Bitmap.createBitmap(8, 8, Bitmap.Config.ARGB_8888)
            for (y in 0 until 8) for (x in 0 until 8) bitmap.setPixel(x, y, if (y < 4) Color.RED else Color.BLUE)
            // A larger one before and a smaller one after take the same memory.
            session.segment(Bitmap.createBitmap(300, 200, Bitmap.Config.ARGB_8888))
            val mask = session.segment(bitmap)
            assertEquals(listOf(0, 0, 2, 2), listOf(mask[0, 0], mask[7, 3], mask[0, 4], mask[7, 7]))
            val turned = session.segment(bitmap, Rotation.CLOCKWISE_90)
            assertEquals(listOf(2, 0, 2, 0), listOf(turned[0, 0], turned[7, 0], turned[3, 7], turned[4, 7]))
        }
    }

    @Test
    fun planesOfCameras() {
        session("colours") { session ->
            val y = Plane(ByteBuffer.allocateDirect(16).also { for (i in 0 until 16) it.put(i, 29) }, 4, 1)
            val u = Plane(ByteBuffer.allocateDirect(4).also { for (i in 0 until 4) it.put(i, -1) }, 2, 1)
            val v = Plane(ByteBuffer.allocateDirect(4).also { for (i in 0 until 4) it.put(i, 107) }, 2, 1)
            val blue = pictureOfPlanes(ImageFormat.YUV_420_888, 4, 4, listOf(y, u, v), Rotation.of(90))
            assertEquals("blåue", session.classify(blue).first().label)
            val rgba = Plane(direct(9, 0, 0, -1), 4, 4)
            assertEquals("red", session.classify(pictureOfPlanes(PixelFormat.RGBA_8888, 1, 1, listOf(rgba))).first().label)
            assertThrows(InputException::class.java) { pictureOfPlanes(ImageFormat.JPEG, 1, 1, listOf(rgba)) }
            assertThrows(InputException::class.java) { pictureOfPlanes(ImageFormat.YUV_420_888, 1, 1, listOf(rgba)) }
        }
    }

    @Test
    fun assetsThatAreNotThere() {
        val assets = RuntimeEnvironment.getApplication().assets
        val e = assertThrows(ModelException::class.java) { CygnetModel.open(assets, "nothing.cygnet") }
        assertEquals(true, "nothing.cygnet" in e.message!!)
    }
}
