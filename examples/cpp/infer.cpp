// Labels of images by a model that `densecast export-to hf` has written, with OpenVINO's C++ library alone:
//   infer --model DIR/openvino_model.xml --image_dir photos --output_dir out [--file_list val.txt] [--image_num 1000]
//         [--save_img 1]
// The file itself says what the model is: labels, colours, how images come to its size, the type that it runs in.
// Images are JPEG or PNG; each becomes an RGB PNG of the network's size, every class in its colour.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <openvino/openvino.hpp>
#include <sstream>
#include <png.h>
#include <jpeglib.h>
namespace fs = std::filesystem;
using Options = std::map<std::string, std::string>;
struct Image { int height, width; std::vector<uint8_t> rgb; };
struct Tap { int first, second, first_weight, second_weight; };  // weights are of 2048

void check(bool holds, const std::string& otherwise) { if (!holds) throw std::runtime_error(otherwise); }

Image read_png(const fs::path& path) {
    png_image png{};
    png.version = PNG_IMAGE_VERSION;
    check(png_image_begin_read_from_file(&png, path.c_str()), path.string() + ": " + png.message);
    png.format = PNG_FORMAT_RGB;
    Image image{int(png.height), int(png.width), std::vector<uint8_t>(PNG_IMAGE_SIZE(png))};
    check(png_image_finish_read(&png, nullptr, image.rgb.data(), 0, nullptr), path.string() + ": " + png.message);
    return image;
}

Image read_jpeg(const fs::path& path) {
    FILE* file = std::fopen(path.c_str(), "rb");
    check(file, path.string() + " cannot be read");
    jpeg_decompress_struct jpeg;
    jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);  // ends the program on a damaged file
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, file);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    const size_t line = size_t(jpeg.output_width) * 3;
    Image image{int(jpeg.output_height), int(jpeg.output_width), std::vector<uint8_t>(jpeg.output_height * line)};
    for (JSAMPROW row = image.rgb.data(); jpeg.output_scanline < jpeg.output_height; row += line)
        jpeg_read_scanlines(&jpeg, &row, 1);
    jpeg_destroy_decompress(&jpeg);
    std::fclose(file);
    return image;
}

// OpenCV's INTER_LINEAR for bytes: centres at + 0.5, weights of 11 bits; beyond a border columns lose their share.
std::vector<Tap> taps(int have, int want, bool are_columns) {
    std::vector<Tap> table;
    for (int place = 0; place < want; ++place) {
        const float where = float((place + 0.5) * (double(have) / want) - 0.5);
        const int first = int(std::floor(where)), last = have - 1;
        const float share = are_columns && (first < 0 || first >= last) ? 0 : where - first;
        table.push_back({std::clamp(first, 0, last), std::clamp(first + 1, 0, last),
                         int(std::lrint((1 - share) * 2048)), int(std::lrint(share * 2048))});
    }
    return table;
}

Image stretched(const Image& in, int height, int width) {
    if (in.height == height && in.width == width) return in;
    Image out{height, width, {}};
    const auto rows = taps(in.height, height, false), columns = taps(in.width, width, true);
    for (const Tap& row : rows)
        for (const Tap& column : columns)
            for (int colour = 0; colour < 3; ++colour) {
                auto pixel = [&](int y, int x) { return in.rgb[(size_t(y) * in.width + x) * 3 + colour]; };
                auto across = [&](int y, int weight) {
                    const int left = pixel(y, column.first) * column.first_weight;
                    return (((left + pixel(y, column.second) * column.second_weight) >> 4) * weight) >> 16;
                };
                const int sum = across(row.first, row.first_weight) + across(row.second, row.second_weight);
                out.rgb.push_back(uint8_t((sum + 2) >> 2));
            }
    return out;
}

std::vector<fs::path> listed(Options& told) {
    std::vector<fs::path> found;
    auto is_image = [](const fs::path& path) { return path.extension() == ".jpg" || path.extension() == ".png"; };
    std::ifstream list(told["file_list"]);
    for (std::string name; list >> name;) {
        fs::path path = fs::path(told["image_dir"]) / name;
        found.push_back(is_image(path) ? path : path += fs::exists(path.string() + ".png") ? ".png" : ".jpg");
    }
    for (const auto& entry : fs::directory_iterator(told["image_dir"]))
        if (told["file_list"].empty() && is_image(entry.path())) found.push_back(entry.path());
    if (told["file_list"].empty()) std::sort(found.begin(), found.end());
    found.resize(std::min(found.size(), size_t(std::stoul(told["image_num"]))));
    return found;
}

void run(Options told) {
    ov::Core core;
    auto model = core.read_model(told["model"]);
    auto fact = [&](const char* name) { return model->get_rt_info<std::string>("densecast", name); };
    const bool is_native = fact("resize") == "native";
    check(fact("task") == "segmentation" && fact("input_layout") == "nhwc", "segmentations of NHWC pixels are needed");
    check(is_native || (fact("resize") == "stretch" && fact("interpolation") == "bilinear_opencv"),
          "images come to this model by " + fact("resize") + ", " + fact("interpolation") + ", which is not here");
    std::string numbers = fact("palette");  // [[r, g, b], …]
    for (char& each : numbers) each = std::isdigit(each) ? each : ' ';
    std::istringstream stream(numbers);
    const std::vector<int> palette{std::istream_iterator<int>(stream), {}};
    core.set_property("CPU", {{"INFERENCE_PRECISION_HINT", fact("inference_precision")}});
    auto request = core.compile_model(model, "CPU").create_infer_request();
    const ov::PartialShape shape = model->input().get_partial_shape();
    std::cout << fact("model") << " " << fact("labels") << std::endl;
    for (const fs::path& path : listed(told)) {
        Image image = path.extension() == ".png" ? read_png(path) : read_jpeg(path);
        if (!is_native) image = stretched(image, int(shape[1].get_length()), int(shape[2].get_length()));
        for (size_t at = 0; fact("input_colour") == "bgr" && at < image.rgb.size(); at += 3)
            std::swap(image.rgb[at], image.rgb[at + 2]);
        const ov::Shape sizes{1, size_t(image.height), size_t(image.width), 3};
        request.set_input_tensor(ov::Tensor(ov::element::u8, sizes, image.rgb.data()));
        request.infer();
        const uint8_t* labels = request.get_output_tensor(0).data<uint8_t>();
        std::map<int, size_t> counts;
        for (size_t at = 0; at < image.rgb.size(); ++at) {
            counts[labels[at / 3]] += at % 3 == 0;
            image.rgb[at] = palette.at(labels[at / 3] * 3 + at % 3);
        }
        std::cout << path.stem().string();
        for (auto [label, count] : counts) std::cout << " " << label << ":" << count;
        std::cout << std::endl;
        if (told["save_img"] == "0") continue;
        png_image png{};
        png.version = PNG_IMAGE_VERSION, png.format = PNG_FORMAT_RGB, png.height = image.height, png.width = image.width;
        fs::create_directories(told["output_dir"]);
        const std::string target = told["output_dir"] + "/" + path.stem().string() + ".png";
        check(png_image_write_to_file(&png, target.c_str(), 0, image.rgb.data(), 0, nullptr), png.message);
    }
}

int main(int count, char** words) try {
    Options told{{"image_num", "1000"}, {"save_img", "1"}};
    for (int at = 1; at + 1 < count; at += 2) told[std::string(words[at]).substr(2)] = words[at + 1];
    for (const std::string name : {"model", "image_dir", "output_dir"}) check(!told[name].empty(), "--" + name + "?");
    run(told);
} catch (const std::exception& error) {
    std::cerr << "infer: " << error.what() << std::endl;
    return 3;
}
