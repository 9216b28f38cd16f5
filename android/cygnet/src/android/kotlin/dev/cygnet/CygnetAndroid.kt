@file:JvmName("CygnetAndroid")

package dev.cygnet

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.media.Image
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/**
 * Opens a bundle in an application's assets. One that the package holds uncompressed
 * (`androidResources { noCompress += "cygnet" }`) is mapped and copied once; others are unpacked in Java's heap first.
 *
 * @throws ModelException when there is no such asset, or it is not valid.
 */
@Throws(CygnetException::class)
public fun CygnetModel.Companion.open(assets: AssetManager, name: String): CygnetModel {
    val file = try {
        assets.openFd(name)
    } catch (_: IOException) {
        null
    }
    try {
        if (file == null) return open(assets.open(name).use { it.readBytes() })
        return file.use {
            FileInputStream(it.fileDescriptor).use { stream ->
                open(stream.channel.map(FileChannel.MapMode.READ_ONLY, it.startOffset, it.declaredLength))
            }
        }
    } catch (e: IOException) {
        throw ModelException("asset `$name` cannot be read: ${e.message}")
    }
}

/**
 * How `ARGB_8888` lies in memory: red first on Android, blue first where Android's classes run elsewhere (Robolectric's
 * native graphics on a PC). One pixel tells.
 */
private val bitmapFormat: PictureFormat by lazy {
    val bitmap = Bitmap.createBitmap(1, 1, Bitmap.Config.ARGB_8888)
    bitmap.eraseColor(Color.RED)
    val pixel = ByteBuffer.allocate(4)
    bitmap.copyPixelsToBuffer(pixel)
    bitmap.recycle()
    if (pixel.get(0) == 0.toByte()) PictureFormat.BGRA else PictureFormat.RGBA
}

/**
 * A bitmap's pixels, copied once to memory that the session keeps for the next. `ARGB_8888` and `ALPHA_8` (as brightness) are
 * taken as they are; other configurations, hardware bitmaps included, are converted. What is transparent is seen over black.
 */
internal fun Session.picture(bitmap: Bitmap, rotation: Rotation): Picture {
    if (bitmap.isRecycled) throw InputException("the bitmap is recycled")
    val direct = bitmap.config == Bitmap.Config.ARGB_8888 || bitmap.config == Bitmap.Config.ALPHA_8
    val pixels = if (direct) bitmap else bitmap.copy(Bitmap.Config.ARGB_8888, false)
        ?: throw OutOfMemoryException("a bitmap of ${bitmap.width} x ${bitmap.height} pixels cannot be converted")
    try {
        val format = if (pixels.config == Bitmap.Config.ALPHA_8) PictureFormat.GRAY else bitmapFormat
        val bytes = memory(pixels.rowBytes * pixels.height)
        pixels.copyPixelsToBuffer(bytes)
        bytes.rewind()
        return Picture.packed(format, pixels.width, pixels.height, bytes, pixels.rowBytes, rotation)
    } finally {
        if (pixels !== bitmap) pixels.recycle()
    }
}

/** [Session.ask] about a bitmap that has to be turned by [rotation] to stand upright. */
@JvmOverloads
@Throws(CygnetException::class)
public fun Session.ask(bitmap: Bitmap, rotation: Rotation = Rotation.NONE): Answer = ask(picture(bitmap, rotation))

/** [Session.classify] of a bitmap that has to be turned by [rotation] to stand upright. */
@JvmOverloads
@Throws(CygnetException::class)
public fun Session.classify(bitmap: Bitmap, rotation: Rotation = Rotation.NONE): List<ClassScore> =
    classify(picture(bitmap, rotation))

/** [Session.detect] in a bitmap that has to be turned by [rotation] to stand upright; boxes are in the upright picture. */
@JvmOverloads
@Throws(CygnetException::class)
public fun Session.detect(bitmap: Bitmap, rotation: Rotation = Rotation.NONE): List<Detection> =
    detect(picture(bitmap, rotation))

/** [Session.read] of a bitmap that has to be turned by [rotation] to stand upright. */
@JvmOverloads
@Throws(CygnetException::class)
public fun Session.read(bitmap: Bitmap, rotation: Rotation = Rotation.NONE): Answer.Text = read(picture(bitmap, rotation))

/** [Session.segment] of a bitmap that has to be turned by [rotation] to stand upright. */
@JvmOverloads
@Throws(CygnetException::class)
public fun Session.segment(bitmap: Bitmap, rotation: Rotation = Rotation.NONE): Answer.Mask =
    segment(picture(bitmap, rotation))

/** [Session.embed] of a bitmap that has to be turned by [rotation] to stand upright. */
@JvmOverloads
@Throws(CygnetException::class)
public fun Session.embed(bitmap: Bitmap, rotation: Rotation = Rotation.NONE): FloatArray =
    embed(picture(bitmap, rotation))

/**
 * A camera's image as a picture, without a copy: close the image after the call that looks at the picture. CameraX's
 * `ImageProxy` has it as `image.image`, and the rotation as `Rotation.of(image.imageInfo.rotationDegrees)`.
 *
 * @throws InputException for other formats than `YUV_420_888` and `RGBA_8888`.
 */
@JvmOverloads
@Throws(CygnetException::class)
public fun Image.toPicture(rotation: Rotation = Rotation.NONE): Picture {
    val planes = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return pictureOfPlanes(format, width, height, planes, rotation)
}

/**
 * A picture of planes as `Image` and `ImageProxy` have them.
 *
 * @param format of `android.graphics.ImageFormat` or `PixelFormat`.
 * @throws InputException for other formats than `YUV_420_888` and `RGBA_8888`, and when planes are missing.
 */
@JvmOverloads
@Throws(CygnetException::class)
public fun pictureOfPlanes(
    format: Int,
    width: Int,
    height: Int,
    planes: List<Plane>,
    rotation: Rotation = Rotation.NONE,
): Picture {
    val wanted = when (format) {
        ImageFormat.YUV_420_888 -> 3
        PixelFormat.RGBA_8888 -> 1
        else -> throw InputException("images of format $format are not read: ask the camera for YUV_420_888 or RGBA_8888")
    }
    if (planes.size != wanted) throw InputException("an image of format $format has $wanted planes, given were ${planes.size}")
    val first = planes[0]
    if (wanted == 3) return Picture.yuv420(width, height, first, planes[1], planes[2], rotation)
    return Picture.packed(PictureFormat.RGBA, width, height, first.bytes, first.rowStride, rotation)
}
